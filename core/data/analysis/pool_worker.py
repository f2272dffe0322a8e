"""One process of a crew: opens the file by itself and examines the shards it is given.

begin   {path, mix, recipe, shape, rows, languages, nice}    refused: so is every shard after it
examine {phase, start, stop, found: {row: problems of form}} -> {kind "done", shard}
encode  {start, stop, rows: [row] or null for start to stop}  -> {kind "done", shard}
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from core.data.analysis.passes import examine_form, examine_tokens
from core.data.encode.columns import encode_columns
from core.data.encode.encoder import Encoder
from core.data.files.source import Source, open_source
from core.data.recipe import Recipe
from core.data.shapes.read import Reader
from core.errors import AfinaError
from core.pipe import Handler, Message, Request, serve


class Member:
    """The open file of this process."""

    def __init__(self) -> None:
        self._source: Source | None = None
        self._refusal: AfinaError | None = None
        self._encoder: Encoder | None = None

    def handlers(self) -> Mapping[str, Handler]:
        return {"begin": self.begin, "examine": self.examine, "encode": self.encode}

    def begin(self, request: Request) -> None:
        """Opens the file; what is wrong with that is told with the first shard."""
        fields = request.fields
        _give_way(fields["nice"])
        self._recipe = msgspec.convert(fields["recipe"], Recipe)
        self._reader = msgspec.convert(fields["reader"], Reader)
        self._languages = fields["languages"]
        try:
            self._source = open_source(fields["path"], fields["mix"])
        except AfinaError as error:
            self._refusal = error
            return
        if len(self._source) != fields["rows"]:
            self._refusal = AfinaError(
                f'"{fields["path"]}" has changed: {fields["rows"]:,} rows have become '
                f"{len(self._source):,}.",
                "Open it again.",
            )

    def examine(self, request: Request) -> Message:
        """One shard of one pass."""
        source, fields = self._open(), request.fields
        rows = range(fields["start"], fields["stop"])
        if fields["phase"] == "form":
            return {"shard": examine_form(source, self._reader, rows)}
        known = fields["found"]
        found = [known.get(str(row), 0) for row in rows]
        subject = source, self._reader, self._loaded()
        return {"shard": examine_tokens(*subject, rows, found, self._languages)}

    def encode(self, request: Request) -> Message:
        """Rows as a trainer takes them."""
        source, fields = self._open(), request.fields
        rows = fields["rows"] or range(fields["start"], fields["stop"])
        return {"shard": encode_columns(source, self._reader, self._loaded(), rows)}

    def _open(self) -> Source:
        if self._refusal is not None:
            raise self._refusal
        assert self._source is not None
        return self._source

    def _loaded(self) -> Encoder:
        if self._encoder is None:
            self._encoder = self._recipe.encoder()
        return self._encoder


def _give_way(nice: int) -> None:
    """Lets others go first, also where Linux weighs sessions and not processes (autogroups)."""
    os.nice(nice)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(nice), encoding="ascii")


def main() -> int:
    """Serves until the survey closes the pipe."""
    return serve(Member().handlers())
