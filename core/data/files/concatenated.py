"""Several files as one source: a folder, a pattern, a mixture with weights."""

from __future__ import annotations

import hashlib
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import msgspec

from core.data.files.rows import Block, Cancelled, OnProgress, Row, Source, Span
from core.data.problems import NOTE, RowProblem, problem
from core.errors import AfinaError

OPEN_FILES = 64  # at a time; the limit of a process is often 1,024


class Member(msgspec.Struct, frozen=True):
    """One file among several, or one name in a mixture."""

    path: Path
    open: Callable[[], Source]
    weight: float = 1.0
    size: int = 0  # bytes, for the progress


class Listing(msgspec.Struct, frozen=True):
    """What belongs together, and what was left aside with its reason."""

    members: list[Member]
    skipped: list[tuple[Path, str]] = []


class JoinedSource(Source):
    """The rows of several sources, one after the other.

    `look` lists them as they are now, so that a new file in a folder is a change.
    """

    layout = "files"

    def __init__(self, path: Path, look: Callable[[], Listing]) -> None:
        self.path = path
        self._look = look
        self._sources: list[Source] = []
        self._lock = threading.Lock()  # of who is awake
        self._begin()

    def _begin(self) -> None:
        """Lists the files anew and opens the first, so that what is wrong with it is said now."""
        self.close()
        self._listing = self._look()
        self._sources: list[Source] = []
        self._starts: list[int] = []
        self._awake: OrderedDict[int, None] = OrderedDict()
        self.indexed = self.cached = False
        self._add(self._listing.members[0].open())

    def _add(self, source: Source) -> None:
        # The start last: a reader in another thread counts the sources by it.
        start = len(self) if self._starts else 0
        self._sources.append(source)
        self._starts.append(start)

    def __len__(self) -> int:
        last = len(self._starts) - 1
        return self._starts[last] + len(self._sources[last])

    @property
    def files(self) -> list[Path]:
        opened = [path for source in self._sources for path in source.files]
        return opened + [member.path for member in self._listing.members[len(self._sources) :]]

    @property
    def skipped(self) -> list[tuple[Path, str]]:
        """Files of a folder that are no data, each with the reason."""
        inner = [item for source in self._sources for item in source.skipped]
        return self._listing.skipped + inner

    @property
    def problems(self) -> list[RowProblem]:
        wanted, fix = "a data file", "Nothing is to be done if it holds no rows."
        skipped = [
            problem("skipped_file", "", f"{path.name}: {why}", wanted, fix, NOTE)
            for path, why in self._listing.skipped
        ]
        inner = [
            msgspec.structs.replace(item, found=f"{source.path.name}: {item.found}")
            for source in self._sources
            for item in source.problems
        ]
        return skipped + inner

    def close(self) -> None:
        for source in self._sources:
            source.close()

    def index(
        self, on_progress: OnProgress | None = None, cancelled: Cancelled | None = None
    ) -> Self:
        """Finds the rows of all files; on_progress receives (bytes behind us, bytes in all)."""
        if self.indexed or len(self) or self.changed():
            self._begin()
        members = self._listing.members
        total, behind = sum(member.size for member in members), 0

        def tell(done: int, _: int) -> None:
            if on_progress:
                on_progress(min(behind + done, total), total)

        for place, member in enumerate(members):
            if place:
                self._add(member.open())
            source = self._sources[place].index(tell, cancelled)
            if not source.indexed:
                return self
            self._use(place)
            behind += member.size
        self.cached = any(source.cached for source in self._sources)
        self.indexed = True
        return self

    def _find(self, index: int) -> tuple[int, Source, int]:
        """The place of the file that has a row, the file, and the row's index in it."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        place = bisect_right(self._starts, index) - 1
        return place, self._sources[place], index - self._starts[place]

    def _use(self, place: int) -> None:
        """Keeps few files open: those that were read last."""
        if len(self._listing.members) <= OPEN_FILES:
            return
        with self._lock:
            self._awake[place] = None
            self._awake.move_to_end(place)
            tired = self._awake.popitem(last=False)[0] if len(self._awake) > OPEN_FILES else None
        if tired is not None:
            self._sources[tired].rest()

    def raw(self, index: int) -> bytes:
        place, source, inner = self._find(index)
        self._use(place)
        return source.raw(inner)

    def row(self, index: int) -> Row:
        place, source, inner = self._find(index)
        self._use(place)
        return _moved(source.row(inner), index)

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        stop = len(self) if stop is None else stop
        while start < stop:
            place, source, inner = self._find(start)
            self._use(place)
            last = min(len(source), inner + stop - start)
            for row in source.rows(inner, last):
                yield _moved(row, start + row.index - inner)
            start += last - inner

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[Block]:
        stop = len(self) if stop is None else stop
        while start < stop:
            place, source, inner = self._find(start)
            self._use(place)
            last = min(len(source), inner + stop - start)
            for block in source.blocks(inner, last):
                yield msgspec.structs.replace(block, first=start + block.first - inner)
            start += last - inner

    def place(self, index: int) -> tuple[Path, int]:
        _, source, inner = self._find(index)
        return source.place(inner)

    def weights(self) -> list[Span]:
        spans: list[Span] = []
        for place, source in enumerate(self._sources):
            start, weight = self._starts[place], self._listing.members[place].weight
            for span in source.weights():
                share = span.weight * weight
                if spans and spans[-1].weight == share:
                    spans[-1] = Span(spans[-1].start, start + span.end, share)
                elif span.end > span.start:
                    spans.append(Span(start + span.start, start + span.end, share))
        return spans

    def changed(self) -> bool:
        try:
            paths = [member.path for member in self._look().members]
        except AfinaError:
            return True
        known = [member.path for member in self._listing.members]
        return paths != known or any(source.changed() for source in self._sources)

    def content_hash(self) -> str:
        hashed = hashlib.sha256()
        for source in self._sources:
            hashed.update(source.content_hash().encode())
        for member in self._listing.members[len(self._sources) :]:
            with member.open() as source:
                hashed.update(source.content_hash().encode())
        return hashed.hexdigest()


def _moved(row: Row, index: int) -> Row:
    """A row of one file under its number among all."""
    if row.index == index:
        return row
    found = row.problem.at(index + 1, row.line) if row.problem else None
    warnings = tuple(item.at(index + 1, row.line) for item in row.warnings)
    return Row(index, row.line, row.value, found, warnings)
