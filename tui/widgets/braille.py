"""A canvas of braille dots (2 x 4 in a cell) on which curves are drawn; plain characters as well.

Knows nothing of colours: every cell has a letter that says which curve owns it.
"""

from __future__ import annotations

DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # left and right column, top to bottom
BLANK = " "


def _span(column: int, top: int, bottom: int) -> int:
    return sum(DOTS[column][top : bottom + 1])


# MASKS[column][top][bottom]: the dots of one cell from top to bottom
MASKS = [[[_span(c, t, b) for b in range(4)] for t in range(4)] for c in range(2)]


class Canvas:
    """Dots in a grid of cells; pixel (0, 0) is at the upper left."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height  # cells
        self._dots = [bytearray(width) for _ in range(height)]
        self._owners = [bytearray(b" " * width) for _ in range(height)]
        self._marks: dict[tuple[int, int], str] = {}

    def vertical(self, x: int, top: int, bottom: int, owner: str) -> None:
        """The dots of one pixel column between two rows, both included."""
        cell, side, letter = x >> 1, x & 1, ord(owner)
        for row in range(top >> 2, (bottom >> 2) + 1):
            first = top & 3 if row == top >> 2 else 0
            last = bottom & 3 if row == bottom >> 2 else 3
            self._dots[row][cell] |= MASKS[side][first][last]
            self._owners[row][cell] = letter

    def line(self, x0: int, y0: int, x1: int, y1: int, owner: str) -> None:
        """A line without holes between two pixels, x0 < x1."""
        slope = (y1 - y0) / (x1 - x0)
        before = y0
        for x in range(x0, x1 + 1):
            after = y1 if x == x1 else round(y0 + slope * (x - x0 + 0.5))
            self.vertical(x, min(before, after), max(before, after), owner)
            before = after

    def mark(self, x: int, y: int, character: str, owner: str) -> None:
        """A character in the cell of a pixel, over the dots."""
        row, cell = y >> 2, x >> 1
        self._marks[row, cell] = character
        self._owners[row][cell] = ord(owner)

    def row(self, index: int, ascii_only: bool = False) -> tuple[str, str]:
        """One row of cells as its characters and, letter by letter, their owners."""
        draw = _ascii if ascii_only else _braille
        characters = [draw(bits) for bits in self._dots[index]]
        for (row, cell), character in self._marks.items():
            if row == index:
                characters[cell] = character
        return "".join(characters), self._owners[index].decode("ascii")


def _braille(bits: int) -> str:
    return chr(0x2800 + bits) if bits else BLANK


def _ascii(bits: int) -> str:
    """Two heights in a cell: an upper dot, a lower dot, or both."""
    if not bits:
        return BLANK
    upper, lower = bits & 0x1B, bits & 0xE4
    return ":" if upper and lower else "'" if upper else "."
