"""What a person wants changed in a file: rows edited and rows dropped, pending until written.

Kept in `<home>/edits/`, one file per source, replaced atomically with every change: the user's
work survives the app and the machine. Rows are told by a hash of their bytes, so that an edit finds
its row again when the source has changed; what finds none is kept and said.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import msgspec

from core.data.edit.output import line_from
from core.data.files.rows import Cancelled, OnProgress, Row, Source, Span
from core.data.problems import RowProblem
from core.data.shapes.row_key import bytes_key
from core.errors import AfinaError
from core.paths import home, make_folder, write_atomic

_VERSION = 1


class Pending(msgspec.Struct):
    """One change: a new value for a row, or None where the row is to be dropped."""

    row: int  # index, from 0, in the source as it was last seen
    key: int  # hash of the row's bytes before the change
    value: Any = None

    @property
    def drops(self) -> bool:
        return self.value is None


class Edits:
    """The pending changes of one source."""

    def __init__(self, path: Path, place: Path) -> None:
        self.path = path  # of the source
        self.place = place  # where the changes are kept
        self.edited: dict[int, Pending] = {}
        self.dropped: dict[int, Pending] = {}
        self.lost: list[Pending] = []  # their rows are no longer in the source

    @classmethod
    def load(cls, source: Source, home_folder: Path | None = None) -> Edits:
        """The changes of a source, each at the row that it was made for.

        Raises AfinaError where they are there and can't be read.
        """
        path = Path(os.path.abspath(source.path))
        folder = home(home_folder) / "edits"
        edits = cls(path, folder / f"{bytes_key(os.fsencode(path)):016x}.json")
        kept = _read(edits.place)
        for pending in _matched(source, kept, edits.lost):
            edits._put(pending)
        return edits

    def __len__(self) -> int:
        return len(self.edited) + len(self.dropped)

    def edit(self, source: Source, row: int, value: Any) -> None:
        """Gives a row a new value; raises AfinaError where it can't be kept."""
        self._put(Pending(row, bytes_key(source.raw(row)), value))
        self.save()

    def undo(self, row: int) -> None:
        """Takes the new value of a row back."""
        if self.edited.pop(row, None) is not None:
            self.save()

    def drop(self, source: Source, rows: Iterable[int], on: bool = True) -> None:
        """Marks rows to be dropped, or takes that back."""
        for row in rows:
            if on:
                self._put(Pending(row, bytes_key(source.raw(row))))
            else:
                self.dropped.pop(row, None)
        self.save()

    def snapshot(self) -> Edits:
        """A copy for a thread of its own."""
        copy = Edits(self.path, self.place)
        copy.edited, copy.dropped = dict(self.edited), dict(self.dropped)
        return copy

    def save(self) -> None:
        """Writes the changes down; the file goes when there are none."""
        everything = [*self.edited.values(), *self.dropped.values(), *self.lost]
        if not everything:
            self.place.unlink(missing_ok=True)
            return
        rows = [[item.row, item.key, item.value] for item in everything]
        content = {"v": _VERSION, "path": os.fsdecode(self.path), "rows": rows}
        make_folder(self.place.parent)
        try:
            # ASCII: a path that is not UTF-8 has surrogates in it. Not msgspec: it makes NaN null.
            write_atomic(self.place, json.dumps(content))
        except OSError as error:
            raise AfinaError(f'Can\'t keep the edits in "{self.place}": {error.strerror}.') from (
                error
            )

    def _put(self, pending: Pending) -> None:
        (self.dropped if pending.drops else self.edited)[pending.row] = pending


class EditedSource(Source):
    """A source whose rows are as they are to be; everything else is that of the file."""

    def __init__(self, source: Source, edits: Edits) -> None:
        self._source, self._edits = source, edits
        self.path, self.layout = source.path, source.layout
        self.indexed, self.cached = source.indexed, source.cached

    def __len__(self) -> int:
        return len(self._source)

    def row(self, index: int) -> Row:
        pending = self._edits.edited.get(index)
        row = self._source.row(index)
        return row if pending is None else Row(index, row.line, pending.value)

    def raw(self, index: int) -> bytes:
        """The row's bytes; of an edited one, its new value as JSON."""
        pending = self._edits.edited.get(index)
        return self._source.raw(index) if pending is None else line_from(pending.value)

    def index(
        self, on_progress: OnProgress | None = None, cancelled: Cancelled | None = None
    ) -> Self:
        self._source.index(on_progress, cancelled)
        return self

    def changed(self) -> bool:
        return self._source.changed()

    def content_hash(self) -> str:
        return self._source.content_hash()

    @property
    def files(self) -> list[Path]:
        return self._source.files

    @property
    def problems(self) -> list[RowProblem]:
        return self._source.problems

    @property
    def skipped(self) -> list[tuple[Path, str]]:
        return self._source.skipped

    def place(self, index: int) -> tuple[Path, int]:
        return self._source.place(index)

    def weights(self) -> list[Span]:
        return self._source.weights()

    def close(self) -> None:
        self._source.close()


def _read(place: Path) -> list[Pending]:
    try:
        content = json.loads(place.read_bytes())
        return [Pending(*entry) for entry in content["rows"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise AfinaError(
            f'Can\'t read the pending edits in "{place}": {error}.',
            "Move that file away to go on without them.",
        ) from error


def _matched(source: Source, kept: list[Pending], lost: list[Pending]) -> list[Pending]:
    """Each change at its row; one whose row is not found anywhere goes to `lost`."""
    resolve_config, strayed = [], []
    for pending in kept:
        there = pending.row < len(source)
        at_place = there and bytes_key(source.raw(pending.row)) == pending.key
        (resolve_config if at_place else strayed).append(pending)
    if not strayed:
        return resolve_config
    # Copies of a row have one key: each change takes the nearest copy that no other has taken.
    places: dict[int, list[int]] = {pending.key: [] for pending in strayed}
    taken = {(pending.row, pending.drops) for pending in resolve_config}
    for index in range(len(source)):
        if (key := bytes_key(source.raw(index))) in places:
            places[key].append(index)
    for pending in strayed:
        free = [row for row in places[pending.key] if (row, pending.drops) not in taken]
        if not free:
            lost.append(pending)
            continue
        pending.row = min(free, key=lambda row: abs(row - pending.row))
        taken.add((pending.row, pending.drops))
        resolve_config.append(pending)
    return resolve_config
