"""What a source of rows promises, whatever container lies behind it, and the row that it gives."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Self

import msgspec

from core.data.problems import RowProblem, problem

_BLOCK_ROWS = 256  # of a source that has to make the bytes of its rows
LONGEST_ROW_BYTES = 32 << 20  # some 8 million tokens; a longer row is named and not decoded
OnProgress = Callable[[int, int], object]  # (done, total), in bytes or in rows
Cancelled = Callable[[], bool]


class Row(msgspec.Struct, frozen=True):
    """One row; `index` counts from 0, `line` from 1; a value or the problem with it is set."""

    index: int
    line: int
    value: dict[str, Any] | list[Any] | None
    problem: RowProblem | None = None
    warnings: tuple[RowProblem, ...] = ()  # of a row that has a value all the same

    @property
    def number(self) -> int:
        """The row's number as people see it, from 1."""
        return self.index + 1


class Fingerprint(msgspec.Struct, frozen=True):
    """What tells one state of a file from another."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Fingerprint:
        return cls(status.st_size, status.st_mtime_ns)


class Span(msgspec.Struct, frozen=True):
    """Rows start..end-1 and how often each is seen in an epoch."""

    start: int
    end: int
    weight: float


class Block(msgspec.Struct, frozen=True):
    """The bytes of rows that follow each other, for those who search or measure them."""

    first: int  # row
    data: bytes
    base: int  # what to take from `starts` and `end` for places in `data`
    starts: Sequence[int]  # where each row begins
    end: int  # where the last row ends


class Source(ABC):
    """Random access to the rows of what a person named as data.

    `index()` finds the rows; those already found can be read from another thread while it goes on.
    A broken row is a Row with a problem; AfinaError is raised only when there is nothing to read.
    """

    path: Path  # as it was named
    layout: str  # how rows lie: "lines", "array", "csv", "parquet", ... or "files"
    indexed: bool = False  # all rows are found
    cached: bool = False  # what took time was there already: the index, or a decompressed copy

    @abstractmethod
    def __len__(self) -> int:
        """Rows found so far; all of them once `indexed` is true."""

    @abstractmethod
    def row(self, index: int) -> Row:
        """A row, decoded; IndexError beyond those found."""

    @abstractmethod
    def raw(self, index: int) -> bytes:
        """The bytes of a row without the white space around it; of a table, the row as JSON."""

    @abstractmethod
    def index(
        self, on_progress: OnProgress | None = None, cancelled: Cancelled | None = None
    ) -> Self:
        """Finds all rows of the files as they are now; may be called again."""

    @abstractmethod
    def changed(self) -> bool:
        """Whether the files on disk are no longer those that were indexed, or are gone."""

    @abstractmethod
    def content_hash(self) -> str:
        """A hash of the content of all files; remembered for a file that has not changed."""

    @property
    @abstractmethod
    def files(self) -> list[Path]:
        """The files that rows come from, in their order."""

    @abstractmethod
    def close(self) -> None: ...

    @property
    def problems(self) -> list[RowProblem]:
        """What is to be said of the files rather than of a row (row 0): skipped files, headers."""
        return []

    @property
    def skipped(self) -> list[tuple[Path, str]]:
        """Files of a folder that are no data, each with the reason."""
        return []

    def rest(self) -> None:  # noqa: B027 - most have nothing to let go of
        """Lets go of open files until a row is asked for."""

    def place(self, index: int) -> tuple[Path, int]:
        """The file and the line of a row; in a table, the row's number in the file."""
        return self.files[0], self.row(index).line

    def weights(self) -> list[Span]:
        """How often the rows are seen in an epoch, range by range."""
        return [Span(0, len(self), 1.0)]

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        """Rows in order, which is faster than one by one."""
        return (self.row(index) for index in range(start, len(self) if stop is None else stop))

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[Block]:
        """The bytes of rows in order, as `raw` has them, with what lies between them or without."""
        stop = len(self) if stop is None else stop
        for first in range(start, stop, _BLOCK_ROWS):
            raws = [self.raw(index) for index in range(first, min(first + _BLOCK_ROWS, stop))]
            starts = list(accumulate((len(raw) + 1 for raw in raws), initial=0))
            yield Block(first, b"\n".join(raws), 0, starts[:-1], starts[-1] - 1)

    def __iter__(self) -> Iterator[Row]:
        return self.rows()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def gone(found: str) -> RowProblem:
    """The problem of a row whose bytes are not where they were indexed."""
    fix = "Open the file again."
    return problem("file_changed", "", found, "the file as it was opened", fix)


def too_long(size: int) -> RowProblem:
    """The problem of a row that nobody means to be one row."""
    return problem(
        "row_too_long",
        "",
        f"{size:,} bytes",
        f"at most {LONGEST_ROW_BYTES:,}",
        "Part it into several rows, or drop it.",
    )
