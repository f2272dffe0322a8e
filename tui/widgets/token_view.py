"""A drawing of tokens that scrolls, with a cursor that goes from token to token."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache

from rich.segment import Segment
from rich.style import Style
from textual.events import Click
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.actions import Scoped, bindings
from tui.theme import AMBER, BACKGROUND, TEXT
from tui.widgets.token_drawing import Drawing, Piece

STYLE = Style.parse(f"{TEXT} on {BACKGROUND}")
CURSOR = Style.parse(f"bold {BACKGROUND} on {AMBER}")
FOUND = Style.parse(f"{BACKGROUND} on {AMBER}")


class TokenView(Scoped, ScrollView, can_focus=True, inherit_bindings=False):
    """Draws a Drawing. Only the lines in sight are put together."""

    DEFAULT_CSS = """
    TokenView {
        width: 1fr; height: 1fr; background: $background;
        overflow-x: hidden; overflow-y: auto; scrollbar-size: 1 1;
    }
    """
    scope = "tokens"
    BINDINGS = bindings("tokens")

    class Pointed(Message):
        """The cursor stands on another token, or the focus has come or gone."""

    class Passed(Message):
        """There is no further problem in this row; step is 1 or -1."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    def __init__(self, **options) -> None:  # noqa: ANN003
        super().__init__(**options)
        self.drawing = Drawing()
        self.cursor: int | None = None  # a token
        self.problems: Sequence[int] = ()  # tokens that have one, ascending
        self._count = 0  # lines
        self._wanted: re.Pattern[str] | None = None
        self.found: list[tuple[int, int]] = []  # of what was searched for, in this drawing

    @property
    def plain(self) -> str:
        """The text as it is, without styles."""
        return self.drawing.words

    def set_drawing(self, drawing: Drawing, problems: Sequence[int], stay: bool = False) -> None:
        """Shows a drawing from its top; with `stay` it is the same row, drawn anew."""
        self.drawing, self.problems = drawing, problems
        self._find()
        if not stay:
            self.cursor = None
            self.scroll_to(y=0, animate=False, force=True)
        self._wrap()
        if stay and self.cursor is not None and self.has_focus:
            self._show_cursor()
        self.refresh()

    def mark(self, words: str | re.Pattern[str]) -> None:
        """Marks words wherever they occur; none with an empty text."""
        if isinstance(words, str):
            words = re.compile(re.escape(words), re.IGNORECASE)
        self._wanted = words if words.pattern else None
        self._find()
        self.refresh()

    def _find(self) -> None:
        matches = self._wanted.finditer(self.drawing.words) if self._wanted else ()
        self.found = [match.span() for match in matches if match.end() > match.start()]

    def on_resize(self) -> None:
        self._wrap()

    def _wrap(self) -> None:
        width = self.scrollable_content_region.width
        if width <= 0:
            return
        self._count = self.drawing.wrap(width)
        size = Size(width, self._count)
        if size != self.virtual_size:
            self.virtual_size = size
        self._seat()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        if self._count != self.drawing.wrap(width):
            self._wrap()
        index = self.scroll_offset.y + y
        if index >= self._count:
            return Strip.blank(width, STYLE)
        segments = [segment for piece in self.drawing.line(index) for segment in self._paint(piece)]
        return Strip(segments).adjust_cell_length(width, STYLE)

    def _paint(self, piece: Piece) -> Iterator[Segment]:
        style = _style(piece.style)
        if self.has_focus and piece.token == self.cursor:
            style += CURSOR
        start, end = piece.start, piece.start + len(piece.words)
        done = start
        for left, right in self._found_in(start, end):
            yield Segment(piece.words[done - start : left - start], style)
            yield Segment(piece.words[left - start : right - start], style + FOUND)
            done = right
        yield Segment(piece.words[done - start :], style)

    def _found_in(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        at = max(0, bisect_right(self.found, (start, start)) - 1)
        for left, right in self.found[at:]:
            if left >= end:
                return
            if right > start:
                yield max(left, start), min(right, end)

    # the cursor

    def point(self, token: int) -> None:
        """Puts the cursor on a token, or on the nearest that is drawn."""
        if self.drawing.stops:
            self.cursor = self.drawing.step(token, 0)
            self._show_cursor()
        self.refresh()
        self.post_message(self.Pointed())

    def _seat(self) -> None:
        """Gives the cursor a token, where the view has the focus and no token yet."""
        lost = self.cursor is None or self.drawing.place_of(self.cursor) is None
        if self.has_focus and lost:
            self.cursor = self.drawing.first_token_from(self.scroll_offset.y)
            self.post_message(self.Pointed())

    def on_focus(self) -> None:
        self._seat()
        self.refresh()
        self.post_message(self.Pointed())

    def on_blur(self) -> None:
        self.refresh()
        self.post_message(self.Pointed())

    def on_click(self, event: Click) -> None:
        y = self.scroll_offset.y + event.y
        token = self.drawing.token_near(y, event.x) if y < self._count else None
        if token is not None:
            self.point(token)

    @property
    def _line(self) -> int | None:
        """The line of the cursor."""
        place = self.drawing.place_of(self.cursor) if self.cursor is not None else None
        return None if place is None else self.drawing.line_of(place)

    def _show_cursor(self) -> None:
        line, top, height = self._line, self.scroll_offset.y, max(1, self.size.height)
        if line is None:
            return
        if line < top or line >= top + height:
            wanted = line - 1 if line < top else line - height + 2
            self.scroll_to(y=max(0, wanted), animate=False, force=True)

    def _go(self, lines: int) -> None:
        """Moves the cursor so many lines; where there are no tokens further on, the text."""
        line = self._line
        if line is None:
            self._scroll(lines)
            return
        place = self.drawing.place_of(self.cursor or 0) or 0
        cell = self.drawing.cell_of(place)
        step = 1 if lines > 0 else -1
        wanted = max(0, min(line + lines, self._count - 1))
        while 0 <= wanted < self._count and wanted != line:
            token = self.drawing.token_near(wanted, cell)
            if token is not None and token != self.cursor:
                self.point(token)
                return
            wanted += step
        self._scroll(lines)

    def _scroll(self, lines: int) -> None:
        self.scroll_to(y=self.scroll_offset.y + lines, animate=False)

    def _step(self, step: int) -> None:
        if self.cursor is None or not self.drawing.stops:
            self._scroll(step)
        else:
            self.point(self.drawing.step(self.cursor, step))

    def action_left(self) -> None:
        self._step(-1)

    def action_right(self) -> None:
        self._step(1)

    def action_up(self) -> None:
        self._go(-1)

    def action_down(self) -> None:
        self._go(1)

    def action_first(self) -> None:
        if self.drawing.stops:
            self.point(self.drawing.stops[0])
        self.scroll_to(y=0, animate=False)

    def action_last(self) -> None:
        if self.drawing.stops:
            self.point(self.drawing.stops[-1])
        self.scroll_to(y=self.max_scroll_y, animate=False)

    def action_half_up(self) -> None:
        self._go(-max(1, self.size.height // 2))

    def action_half_down(self) -> None:
        self._go(max(1, self.size.height // 2))

    def action_page_up(self) -> None:
        self._go(-max(1, self.size.height - 1))

    def action_page_down(self) -> None:
        self._go(max(1, self.size.height - 1))

    def action_next_problem(self) -> None:
        here = -1 if self.cursor is None else self.cursor
        self._jump(next((token for token in self.problems if token > here), None), 1)

    def action_previous_problem(self) -> None:
        here = self.cursor or 0
        before = [token for token in self.problems if token < here]
        self._jump(before[-1] if before else None, -1)

    def _jump(self, token: int | None, step: int) -> None:
        if token is None:
            self.post_message(self.Passed(step))
        else:
            self.point(token)


@lru_cache(maxsize=256)
def _style(words: str) -> Style:
    return STYLE + Style.parse(words)
