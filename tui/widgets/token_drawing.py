"""A long text with styles, and the token that each stretch of it belongs to, wrapped into lines.

Kept as flat arrays, so that a row of a hundred thousand tokens costs a few megabytes; a line is put
together when it is drawn.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from rich.cells import cell_len, get_character_cell_size

NO_TOKEN = -1


class Piece(NamedTuple):
    """A part of a line in one style; start and end are characters of the whole text."""

    words: str
    style: str
    token: int  # NO_TOKEN for what is no token
    start: int


class Drawing:
    """Filled by `add`, in order; then wrapped, for one width at a time."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._words: str | None = None
        self._size = 0
        self._starts = array("I")  # of each stretch
        self._styles = array("H")
        self._tokens = array("l")
        self._style_names: list[str] = []
        self._style_numbers: dict[str, int] = {}
        self.stops = array("l")  # the tokens that are drawn, ascending
        self._stop_starts = array("I")
        self._lines = array("I")  # where each begins, once wrapped
        self._ends = array("I")
        self._width = 0

    def add(self, words: str, style: str, token: int = NO_TOKEN) -> Drawing:
        """Appends a stretch of text."""
        if not words:
            return self
        number = self._style_numbers.get(style)
        if number is None:
            number = self._style_numbers[style] = len(self._style_names)
            self._style_names.append(style)
        if token != NO_TOKEN and (not self.stops or self.stops[-1] != token):
            self.stops.append(token)
            self._stop_starts.append(self._size)
        self._parts.append(words)
        self._starts.append(self._size)
        self._styles.append(number)
        self._tokens.append(token)
        self._size += len(words)
        self._words = None
        self._width = 0
        return self

    @property
    def words(self) -> str:
        """The whole text."""
        if self._words is None:
            self._words = "".join(self._parts)
            self._parts = [self._words]
        return self._words

    def __len__(self) -> int:
        return self._size

    def ends_with(self, words: str) -> bool:
        """Whether the text added so far ends so; an empty one ends with everything."""
        return not self._parts or "".join(self._parts[-2:]).endswith(words)

    def wrap(self, width: int) -> int:
        """Breaks the text into lines of so many cells; returns how many there are."""
        if width != self._width:
            self._width = width
            self._lines, self._ends = array("I"), array("I")
            for start, end in line_spans(self.words, width):
                self._lines.append(start)
                self._ends.append(end)
        return len(self._lines)

    def line(self, y: int) -> Iterator[Piece]:
        """The stretches of one line."""
        start, end = self._lines[y], self._ends[y]
        run = max(0, bisect_right(self._starts, start) - 1)
        while start < end:
            following = self._starts[run + 1] if run + 1 < len(self._starts) else self._size
            stop = min(end, following)
            if start < stop:
                style = self._style_names[self._styles[run]]
                yield Piece(self.words[start:stop], style, self._tokens[run], start)
            start, run = max(start, stop), run + 1

    # where tokens stand

    def line_of(self, place: int) -> int:
        """The line that a character stands in."""
        return max(0, bisect_right(self._lines, place) - 1)

    def place_of(self, token: int) -> int | None:
        """Where a token's text begins; None for one that is not drawn."""
        at = bisect_left(self.stops, token)
        found = at < len(self.stops) and self.stops[at] == token
        return self._stop_starts[at] if found else None

    def cell_of(self, place: int) -> int:
        """The cell of its line that a character begins in."""
        return cell_len(self.words[self._lines[self.line_of(place)] : place])

    def token_near(self, y: int, cell: int) -> int | None:
        """The token of a line that covers a cell, or the one nearest to it."""
        best: tuple[int, int] | None = None
        begin = 0
        for piece in self.line(y):
            end = begin + cell_len(piece.words)
            if piece.token != NO_TOKEN:
                distance = 0 if begin <= cell < end else min(abs(cell - begin), abs(cell - end + 1))
                if best is None or distance < best[0]:
                    best = (distance, piece.token)
            begin = end
        return best[1] if best else None

    def step(self, token: int, step: int) -> int:
        """The drawn token so many further on, or back; stays at the ends."""
        at = bisect_left(self.stops, token) + step
        return self.stops[max(0, min(at, len(self.stops) - 1))]

    def first_token_from(self, y: int) -> int | None:
        """The first token that begins in a line or below it; None where nothing is drawn there."""
        if y >= len(self._lines):
            return None
        at = bisect_left(self._stop_starts, self._lines[y])
        return self.stops[at] if at < len(self.stops) else None


def line_spans(text: str, width: int) -> Iterator[tuple[int, int]]:
    """(start, end) in characters of each line, broken behind spaces where that can be.

    A space that a line ends with may stand beyond the width; nothing else does.
    """
    begin = 0
    for paragraph in text.split("\n"):
        end = begin + len(paragraph)
        start = begin
        while start < end:
            stop = _fitting(text, start, end, max(1, width))
            if stop < end and text[stop] == " ":
                stop += 1
            elif stop < end:
                space = text.rfind(" ", start, stop)
                stop = space + 1 if space >= start else stop
            yield start, stop
            start = stop
        if begin == end:
            yield begin, end
        begin = end + 1


def _fitting(text: str, start: int, end: int, width: int) -> int:
    """The end of what fits into so many cells, one character at least."""
    stop = min(end, start + width)
    part = text[start:stop]
    if part.isascii() or cell_len(part) <= width:
        return stop
    used = 0
    for place, character in enumerate(part):
        used += get_character_cell_size(character)
        if used > width:
            return start + max(1, place)
    return stop
