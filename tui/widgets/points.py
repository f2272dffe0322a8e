"""The points of one curve, kept so that 100,000 of them draw as fast as 1,000.

Beside the raw points stand the extremes of every 4 points, of every 16, and so on; a chart reads
the coarsest level that is still finer than its pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

BLOCK = 4  # points, or blocks of the level below, in one block
FINER = 2  # a level is fine enough when it has this many blocks for each pixel column

# lowest, highest, first and last value that fall together; what one pixel column shows
Extremes = tuple[float, float, float, float]


class Points:
    """One curve: x rising, y any float; NaN and infinities are gaps."""

    def __init__(self, points: Iterable[tuple[float, float]] = ()) -> None:
        self.clear()
        self.extend(points)

    def __len__(self) -> int:
        return len(self._x)

    def clear(self) -> None:
        self._source: Sequence[tuple[float, float]] | None = None
        self._x: list[float] = []
        self._y: list[float] = []
        self._levels: list[list[tuple[float, Extremes | None]]] = []  # (x of the first point, ...)
        self.low = math.inf  # of the finite values
        self.high = -math.inf
        self.low_positive = math.inf  # where a logarithmic axis starts

    @property
    def first_x(self) -> float:
        return self._x[0] if self._x else 0.0

    @property
    def last_x(self) -> float:
        return self._x[-1] if self._x else 0.0

    @property
    def last(self) -> float | None:
        """The newest value, NaN included; None while there is none."""
        return self._y[-1] if self._y else None

    def extend(self, points: Iterable[tuple[float, float]]) -> None:
        """Appends points whose x goes on rising."""
        for x, y in points:
            self._x.append(x)
            self._y.append(y)
            if math.isfinite(y):
                self.low = min(self.low, y)
                self.high = max(self.high, y)
                if 0 < y < self.low_positive:
                    self.low_positive = y
            if len(self._y) % BLOCK == 0:
                self._close_block()

    def replace(self, points: Sequence[tuple[float, float]]) -> None:
        """Takes these points instead. The very list of the last time has only been appended to."""
        old = len(self._x)
        if points is not self._source or len(points) < old:
            self.clear()
            old = 0
        self._source = points
        self.extend(points[old:])

    def marks(self) -> Iterator[tuple[float, float]]:
        """Every finite point."""
        return ((x, y) for x, y in zip(self._x, self._y, strict=True) if math.isfinite(y))

    def columns(self, start: float, end: float, count: int) -> list[list[tuple[int, Extremes]]]:
        """Unbroken stretches of (pixel column, its extremes), from x = start to end."""
        width = end - start
        scale = (count - 1) / width if width > 0 else 0.0
        stretches: list[list[tuple[int, Extremes]]] = [[]]
        for x, extremes in self._blocks(count):
            if x < start or x > end:
                continue
            if extremes is None:
                if stretches[-1]:
                    stretches.append([])
                continue
            column = int((x - start) * scale + 0.5)
            stretch = stretches[-1]
            if stretch and stretch[-1][0] == column:
                stretch[-1] = (column, _joined(stretch[-1][1], extremes))
            else:
                stretch.append((column, extremes))
        return [stretch for stretch in stretches if stretch]

    def _blocks(self, count: int) -> Iterator[tuple[float, Extremes | None]]:
        """The coarsest level that is fine enough, then what is not in one of its blocks yet."""
        done = 0
        for depth in range(len(self._levels), 0, -1):
            blocks = self._levels[depth - 1]
            size = BLOCK**depth
            if done or len(blocks) >= count * FINER:
                yield from blocks[done // size :]
                done = len(blocks) * size
        for x, y in zip(self._x[done:], self._y[done:], strict=True):
            yield x, (y, y, y, y) if math.isfinite(y) else None

    def _close_block(self) -> None:
        values = [y for y in self._y[-BLOCK:] if math.isfinite(y)]
        extremes = (min(values), max(values), values[0], values[-1]) if values else None
        self._append_block(0, self._x[-BLOCK], extremes)

    def _append_block(self, depth: int, x: float, extremes: Extremes | None) -> None:
        if depth == len(self._levels):
            self._levels.append([])
        level = self._levels[depth]
        level.append((x, extremes))
        if len(level) % BLOCK:
            return
        whole: Extremes | None = None
        for _, part in level[-BLOCK:]:
            if part is not None:
                whole = part if whole is None else _joined(whole, part)
        self._append_block(depth + 1, level[-BLOCK][0], whole)


def _joined(left: Extremes, right: Extremes) -> Extremes:
    return min(left[0], right[0]), max(left[1], right[1]), left[2], right[3]
