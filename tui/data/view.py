"""Some of a file's rows in an order: the answer to a filter, a sort or a search.

The data worker writes the rows' indexes into a file that grows; here it is mapped, never read
whole, so that ten million rows cost the app nothing.
"""

from __future__ import annotations

import mmap
import struct
from bisect import bisect_left
from pathlib import Path
from typing import Any, NamedTuple

_ROW = struct.Struct("=I")  # native uint32


class Wish(NamedTuple):
    """Which rows of the file are wanted, and in which order."""

    filter: str = ""
    sort: str = ""  # a fact; empty is the order of the file
    descending: bool = False
    marked: bool = False  # only those that the person has marked

    def __bool__(self) -> bool:
        return bool(self.filter or self.sort or self.marked)

    def fields(self, marked: set[int]) -> dict[str, Any]:
        """The wish as the request `view` has it."""
        fields: dict[str, Any] = {}
        if self.marked:
            fields["filter"] = f"({self.filter}) and marked" if self.filter else "marked"
        elif self.filter:
            fields["filter"] = self.filter
        if fields and marked:
            fields["marked"] = sorted(marked)
        if self.sort:
            fields |= {"sort": self.sort, "descending": self.descending}
        return fields


class View:
    """The rows' indexes by position. With `ordered` they ascend, as in the file."""

    def __init__(self, ordered: bool) -> None:
        self.ordered = ordered
        self.path: Path | None = None
        self._count = 0
        self._map: mmap.mmap | None = None
        self._rows: memoryview = memoryview(b"").cast("I")

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, position: int) -> int:
        return self._rows[position]

    def grow(self, path: Path, count: int) -> None:
        """Takes the rows that the worker has written so far."""
        if path == self.path and count == self._count:
            return
        self.close()
        self.path, self._count = path, count
        if count:
            with open(path, "rb") as file:
                self._map = mmap.mmap(file.fileno(), count * _ROW.size, access=mmap.ACCESS_READ)
            self._rows = memoryview(self._map).cast("I")

    def close(self) -> None:
        """Lets go of the file; the view is empty then."""
        self._rows.release()
        self._rows = memoryview(b"").cast("I")
        if self._map is not None:
            self._map.close()
            self._map = None
        self._count = 0

    def place(self, row: int) -> int | None:
        """The position of a row, None if it is not among these."""
        if self.ordered:
            position = bisect_left(self._rows, row)
            return position if position < self._count and self._rows[position] == row else None
        return self._find(row)

    def nearest(self, row: int) -> int:
        """The position of a row of an ordered view, or of the next one that it has."""
        return min(bisect_left(self._rows, row), max(0, self._count - 1))

    def _find(self, row: int) -> int | None:
        if self._map is None:
            return None
        wanted, start = _ROW.pack(row), 0
        while (at := self._map.find(wanted, start)) >= 0:
            if at % _ROW.size == 0:
                return at // _ROW.size
            start = at + 1
        return None


class Hits:
    """The rows that a search has found, beside a list of rows (`shown`; None is the whole file)."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.whole = False  # whether all rows have been looked at

    def __len__(self) -> int:
        return len(self.view)

    def ordinal(self, row: int) -> int | None:
        """Which of the hits a row is, from 1."""
        place = self.view.place(row)
        return None if place is None else place + 1

    def next(self, position: int, shown: View | None) -> int | None:
        """The position in the list of the first hit at or after one, None if there is none."""
        after = self._after(position, shown)
        return self._position(after, shown) if after < len(self.view) else None

    def previous(self, position: int, shown: View | None) -> int | None:
        """The position in the list of the last hit before one, None if there is none."""
        after = self._after(position, shown)
        return self._position(after - 1, shown) if after else None

    def _after(self, position: int, shown: View | None) -> int:
        """How many hits stand before a position: both lists have the same order."""
        if shown is None:
            return bisect_left(self.view._rows, position)
        low, high = 0, len(self.view)
        while low < high:
            middle = (low + high) // 2
            if self._position(middle, shown) < position:
                low = middle + 1
            else:
                high = middle
        return low

    def _position(self, hit: int, shown: View | None) -> int:
        row = self.view[hit]
        if shown is None:
            return row
        place = shown.place(row)
        return len(shown) if place is None else place  # not shown yet: it comes further down
