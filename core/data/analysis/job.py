"""What is surveyed, and who works on it: this process in small steps, or a crew of processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from core.data.analysis.cache import key_of, model_hash
from core.data.analysis.language import load_languages
from core.data.analysis.passes import examine_form, examine_tokens
from core.data.analysis.row_facts import Shard
from core.data.encode.encoder import Encoder
from core.data.files.source import Source
from core.data.recipe import Recipe
from core.data.shapes.read import Reader
from core.hub import model_folder

if TYPE_CHECKING:
    import numpy as np

FORM, TOKENS, NEAR = "form", "tokens", "near"
# Of work in this process, between two looks at who else wants to work: some 10 ms
STEP_ROWS = {FORM: 512, TOKENS: 32}
SHARD_BYTES = {FORM: 4 << 20, TOKENS: 1 << 20}  # about half a second of work
_MOST_ROWS = 8192  # of one shard
# From here on a second process pays for its start; some 20,000 and 1,000 rows of 1 KB
CREW_BYTES = {FORM: 20 << 20, TOKENS: 1 << 20}
_SAMPLED = 64  # rows whose size stands for all

Cancelled = Callable[[], bool]
Guard = Callable[[], AbstractContextManager[None]]  # held while a step of rows is worked on


class Subject(msgspec.Struct):
    """What is surveyed: a file, and how its rows are read and encoded."""

    source: Source
    reader: Reader
    encoder: Encoder | None  # None: form only
    recipe: Recipe
    share: float = 1.0  # of the sampled rows that have the reader's shape
    mix: dict[str, float] = {}

    def key(self, phase: str, languages: bool) -> str:
        """A name for all that decides what a pass finds."""
        # The ending decides how the same bytes are parted into rows and columns.
        reader = [msgspec.to_builtins(self.reader), [file.suffixes for file in self.source.files]]
        if phase == FORM:
            return key_of(phase, self.source.content_hash(), reader)
        recipe = self.recipe
        template = recipe.chat_template or ""
        if template and Path(template).is_file():
            template = Path(template).read_text(encoding="utf-8")
        model = model_hash(model_folder(recipe.model, recipe.revision))
        options = [model, template, recipe.max_length, recipe.supervise, languages]
        return key_of(phase, self.source.content_hash(), reader, options)

    def row_bytes(self) -> float:
        """The mean size of a row, from some of them."""
        total = len(self.source)
        sampled = min(total, _SAMPLED)
        rows = (place * total // sampled for place in range(sampled))
        return sum(len(self.source.raw(row)) for row in rows) / max(1, sampled)


class Labour:
    """Does the passes over rows; close it when the survey is done.

    `processes` 1 works in this process, a step at a time under `guard`. A crew works at `nice`.
    """

    def __init__(
        self,
        cancelled: Cancelled = lambda: False,
        guard: Guard = nullcontext,
        processes: int | None = None,
        nice: int = 0,
    ) -> None:
        self.cancelled, self._guard = cancelled, guard
        self._most, self._nice = processes, nice
        self._crew: Any = None
        self._crew_of: Subject | None = None

    def __enter__(self) -> Labour:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes of the crew."""
        if self._crew is not None:
            self._crew.close()
        self._crew = self._crew_of = None

    @property
    def processes(self) -> list[int]:
        """Ids of the crew's processes."""
        return [] if self._crew is None else self._crew.processes

    def shards(
        self, subject: Subject, phase: str, first: int, found: np.ndarray, languages: bool
    ) -> Iterator[Shard]:
        """The pass over all rows from `first` on, in their order; ends early when cancelled."""
        rows = len(subject.source)
        size = subject.row_bytes()
        crew = self._crew_for(subject, phase, size * (rows - first), languages)
        step = STEP_ROWS[phase]
        if crew is not None:
            step = int(
                min(_MOST_ROWS, max(STEP_ROWS[TOKENS], SHARD_BYTES[phase] // max(1.0, size)))
            )
        ranges = (range(at, min(at + step, rows)) for at in range(first, rows, step))
        if crew is not None:
            tasks = (_task(phase, item, found) for item in ranges)
            yield from crew.shards(tasks, self.cancelled)
            return
        if languages and phase == TOKENS:
            load_languages()  # not under the guard
        for item in ranges:
            if self.cancelled():
                return
            with self._guard():
                shard = _examine(subject, phase, item, found, languages)
            yield shard

    def _crew_for(self, subject: Subject, phase: str, size: float, languages: bool) -> Any:
        if self._crew_of is not subject:
            self.close()  # it has another file open
        if self._crew is None and size >= CREW_BYTES[phase]:
            from core.data.analysis.pool import Pool, cores

            processes = cores() if self._most is None else self._most
            if processes > 1:
                begin = begin_fields(subject, languages, self._nice)
                self._crew = Pool(processes, begin, "examine", Shard)
                self._crew_of = subject
        return self._crew


def begin_fields(subject: Subject, languages: bool = False, nice: int = 0) -> dict[str, Any]:
    """The fields of the request that opens a subject in a process of a crew."""
    return {
        "path": str(subject.source.path),
        "mix": subject.mix,
        "recipe": msgspec.to_builtins(subject.recipe),
        "reader": msgspec.to_builtins(subject.reader),
        "rows": len(subject.source),
        "languages": languages,
        "nice": nice,
    }


def _task(phase: str, rows: range, found: np.ndarray) -> dict[str, Any]:
    fields: dict[str, Any] = {"phase": phase, "start": rows.start, "stop": rows.stop, "found": {}}
    if phase == TOKENS:
        known = found[rows.start : rows.stop]
        fields["found"] = {str(rows.start + int(at)): int(known[at]) for at in known.nonzero()[0]}
    return fields


def _examine(
    subject: Subject, phase: str, rows: range, found: np.ndarray, languages: bool
) -> Shard:
    source, reader, encoder = subject.source, subject.reader, subject.encoder
    if phase == FORM:
        return examine_form(source, reader, rows)
    assert encoder is not None
    known = found[rows.start : rows.stop].tolist()
    return examine_tokens(source, reader, encoder, rows, known, languages)
