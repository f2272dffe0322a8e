"""Where the rows of one file lie: 8 bytes a row, and a few more where lines are passed over."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_right
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    import numpy

    Places = numpy.ndarray[Any, Any]

Numbers: TypeAlias = (
    "array[int] | memoryview"  # 64 bits each; a memoryview when they lie in the cache
)


def _numbers() -> array[int]:
    return array("Q")


class Batch(msgspec.Struct):
    """The rows found in one block of a file.

    A step is a row whose line is not the one after the row before it: behind blank lines, or behind
    a row of several lines. The first row of a batch is always one.
    """

    read: int = 0  # bytes of the file that lie behind us
    end: int = 0  # where the last row ends
    starts: array[int] = msgspec.field(default_factory=_numbers)
    ends: array[int] = msgspec.field(default_factory=_numbers)  # only where rows don't touch
    step_rows: array[int] = msgspec.field(default_factory=_numbers)  # places in `starts`
    step_lines: array[int] = msgspec.field(default_factory=_numbers)  # from 1
    step_ends: array[int] = msgspec.field(default_factory=_numbers)  # of the row before the step
    next_line: int = 0  # the line that is no step

    def add(self, start: int, line: int, before: int = 0) -> None:
        """Adds a row; `before` is where the row before it ends, if that is not its start."""
        if line != self.next_line or not self.starts:
            self.step_rows.append(len(self.starts))
            self.step_lines.append(line)
            self.step_ends.append(before or start)
        self.starts.append(start)
        self.next_line = line + 1

    def add_many(self, starts: Places, lines: Places, befores: Places) -> None:
        """The same for many rows, as numpy arrays of 64 bits."""
        import numpy

        steps = numpy.flatnonzero(numpy.diff(lines, prepend=self.next_line - 1) != 1)
        if not self.starts and (not len(steps) or steps[0]):
            steps = numpy.concatenate([[0], steps])
        self.step_rows.frombytes((steps + len(self.starts)).astype(numpy.int64).tobytes())
        self.step_lines.frombytes(lines[steps].astype(numpy.int64).tobytes())
        self.step_ends.frombytes(befores[steps].astype(numpy.int64).tobytes())
        self.starts.frombytes(starts.astype(numpy.int64).tobytes())
        self.next_line = int(lines[-1]) + 1


class RowIndex:
    """The places of rows, growing; one thread adds while others read.

    Line of a row: row + 1 + what the last step at or before it has passed over.
    """

    CODES: ClassVar[dict[str, Literal["Q", "q"]]] = {
        "starts": "Q",
        "ends": "Q",
        "step_rows": "Q",
        "step_skips": "q",
        "step_ends": "Q",
    }

    def __init__(self, begin: int = 0) -> None:
        self.starts: Numbers = array("Q")
        self.ends: Numbers = array("Q")
        self.step_rows: Numbers = array("Q")
        self.step_skips: Numbers = array("q")  # line - row - 1: less than 0 behind rows on one line
        self.step_ends: Numbers = array("Q")
        self.end = begin  # where the last row ends
        self._lock = threading.Lock()  # `end` and `starts` change together

    def __len__(self) -> int:
        return len(self.starts)

    def extend(self, batch: Batch) -> None:
        """Adds the rows of a block."""
        starts, base = self.starts, len(self.starts)
        assert isinstance(starts, array), "an index from the cache is whole"
        skipped = self.step_skips[-1] if self.step_skips else 0
        steps = zip(batch.step_rows, batch.step_lines, batch.step_ends, strict=True)
        for place, line, end in steps:
            skips = line - (base + place) - 1
            if skips != skipped:
                skipped = skips
                self.step_ends.append(end)  # type: ignore[union-attr]
                self.step_skips.append(skips)  # type: ignore[union-attr]
                self.step_rows.append(base + place)  # type: ignore[union-attr]
        # Starts last: a reader in another thread finds the end and line of every row it can see.
        with self._lock:
            self.end = max(self.end, batch.end)
            self.ends.extend(batch.ends)  # type: ignore[union-attr]
            starts.extend(batch.starts)

    def line(self, row: int) -> int:
        """The line of a row, both as people count: the line from 1, the row from 0."""
        step = bisect_right(self.step_rows, row) - 1
        return row + 1 + (self.step_skips[step] if step >= 0 else 0)

    def span(self, row: int) -> tuple[int, int]:
        """The bytes of a row, from and to, with the line's end."""
        start = self.starts[row]
        if len(self.ends):
            return start, self.ends[row]
        if row + 1 >= len(self.starts):
            with self._lock:
                if row + 1 >= len(self.starts):
                    return start, self.end
        step = bisect_right(self.step_rows, row + 1) - 1
        if step >= 0 and self.step_rows[step] == row + 1:
            return start, min(self.step_ends[step], self.starts[row + 1])
        return start, self.starts[row + 1]

    def parts(self) -> dict[str, Numbers]:
        """The arrays by name, for the cache."""
        return {name: getattr(self, name) for name in self.CODES}

    @classmethod
    def of(cls, parts: Mapping[str, memoryview], end: int) -> RowIndex:
        """An index whose arrays lie in the cache."""
        index = cls(end)
        for name in cls.CODES:
            setattr(index, name, parts[name])
        return index
