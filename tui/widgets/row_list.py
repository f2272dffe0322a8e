"""A list of rows that asks for the rows it draws and no others: a million are as quick as ten."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from rich.cells import set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.events import Click
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from core.data.escape import visible
from tui.actions import Action, Scoped, bindings, of_scope
from tui.theme import AMBER, BACKGROUND, BRIGHT, SECONDARY, SELECTION, TEXT

MARKED = f"{BACKGROUND} on {AMBER}"
Cell = str | tuple[str, str]  # the words, or (words, colour)


class Column(NamedTuple):
    """A column; width 0 takes what is left, for one column."""

    title: str
    width: int
    right: bool = False  # right-aligned, as numbers are


class Rows(Protocol):
    """What a RowList draws. `cells` is called for each visible row at each paint: be quick."""

    def __len__(self) -> int: ...

    def cells(self, index: int, /) -> Sequence[Cell]: ...


class NoRows:
    """The rows before there are any."""

    def __len__(self) -> int:
        return 0

    def cells(self, index: int) -> Sequence[Cell]:
        raise IndexError(index)


class RowList(Scoped, ScrollView, can_focus=True, inherit_bindings=False):
    """The list: a fixed header, a cursor, keys as in vi."""

    DEFAULT_CSS = """
    RowList {
        width: 1fr; height: 1fr; background: $background;
        overflow-x: hidden; overflow-y: auto; scrollbar-size: 1 1;
    }
    """
    scope = "list"
    BINDINGS = bindings("list")
    cursor: reactive[int] = reactive(0, repaint=False)

    class Moved(Message):
        """The cursor stands on another row."""

        def __init__(self, row_list: RowList, index: int) -> None:
            super().__init__()
            self.row_list = row_list
            self.index = index

        @property
        def control(self) -> RowList:
            return self.row_list

    class Opened(Moved):
        """Enter, or a double click, on a row."""

    def __init__(
        self,
        columns: Sequence[Column],
        rows: Rows | None = None,
        open_label: str = "",  # what enter does, for the footer
        **options,  # noqa: ANN003
    ) -> None:
        super().__init__(**options)
        self.open_label = open_label
        self.lit = False  # the cursor is amber without the focus too
        self._marked: re.Pattern[str] | None = None  # words to be marked in the last column
        self.columns = list(columns)
        self.rows: Rows = NoRows() if rows is None else rows
        self.virtual_size = Size(0, len(self.rows) + 1)

    def footer_actions(self) -> list[Action]:
        opening = [action for action in of_scope(self.scope) if action.id == "open"]
        return [action._replace(label=self.open_label) for action in opening if self.open_label]

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Draws other columns, as a new width wants."""
        if list(columns) != self.columns:
            self.columns = list(columns)
            self.refresh()

    def mark_words(self, pattern: re.Pattern[str] | None) -> None:
        """Marks what a pattern finds in the last column, wherever it stands."""
        self._marked = pattern
        self.refresh()

    def set_rows(self, rows: Rows, cursor: int = 0) -> None:
        """Draws other rows, with the cursor on one of them."""
        self.rows = rows
        self.rows_changed()
        self.set_reactive(RowList.cursor, max(0, min(cursor, len(rows) - 1)))
        self._show_cursor()
        self.refresh()
        if len(rows):
            self.post_message(self.Moved(self, self.cursor))

    def rows_changed(self) -> None:
        """The rows are others or more than before: measure and draw again, the cursor stays."""
        self.virtual_size = Size(0, len(self.rows) + 1)
        if self.cursor >= len(self.rows):
            self.cursor = max(0, len(self.rows) - 1)
        self.refresh()

    def go(self, index: int) -> None:
        """Moves the cursor to a row, or to the nearest that there is."""
        self.cursor = index

    def validate_cursor(self, index: int) -> int:
        return max(0, min(index, len(self.rows) - 1))

    def watch_cursor(self, before: int, after: int) -> None:
        self._refresh_row(before)
        self._refresh_row(after)
        self._show_cursor()
        if len(self.rows):
            self.post_message(self.Moved(self, after))

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        if y == 0:
            return self._header(width)
        index = self.scroll_offset.y + y - 1
        if index >= len(self.rows):
            return Strip.blank(width, Style.parse(f"on {BACKGROUND}"))
        return self._row(index, width)

    def _header(self, width: int) -> Strip:
        style = Style.parse(f"{SECONDARY} on {BACKGROUND}")
        cells = [fit(column.title, size, column.right) for column, size in self._sizes(width)]
        return Strip([Segment("   " + "  ".join(cells), style)]).adjust_cell_length(width, style)

    def _row(self, index: int, width: int) -> Strip:
        here = index == self.cursor
        ground = SELECTION if here else BACKGROUND
        base = Style.parse(f"{BRIGHT if here else TEXT} on {ground}")
        pointer = self.app.symbols.cursor if here else " "  # type: ignore[attr-defined]
        colour = AMBER if self.has_focus or self.lit else SECONDARY
        segments = [Segment(f" {pointer} ", Style.parse(f"{colour} on {ground}"))]
        for (column, size), cell in zip(self._sizes(width), self.rows.cells(index), strict=False):
            words, style = (
                (cell, base) if isinstance(cell, str) else (cell[0], base + Style.parse(cell[1]))
            )
            segments += self._words(fit(words, size, column.right), style, not column.width)
            segments.append(Segment("  ", base))
        return Strip(segments).adjust_cell_length(width, base)

    def _words(self, words: str, style: Style, last: bool) -> list[Segment]:
        """The words of a cell, in the last column with the marked ones in amber."""
        if not last or self._marked is None:
            return [Segment(words, style)]
        segments, done = [], 0
        for match in self._marked.finditer(words):
            if match.end() > match.start():
                segments.append(Segment(words[done : match.start()], style))
                segments.append(Segment(match[0], Style.parse(MARKED)))
                done = match.end()
        return [*segments, Segment(words[done:], style)]

    def _sizes(self, width: int) -> list[tuple[Column, int]]:
        fixed = sum(column.width for column in self.columns) + 2 * (len(self.columns) - 1) + 4
        return [(column, column.width or max(0, width - fixed)) for column in self.columns]

    def _refresh_row(self, index: int) -> None:
        y = index - self.scroll_offset.y + 1
        if 1 <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    def _show_cursor(self) -> None:
        page = max(1, self.size.height - 1)
        top = self.scroll_offset.y
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, force=True)
        elif self.cursor >= top + page:
            self.scroll_to(y=self.cursor - page + 1, animate=False, force=True)

    def on_focus(self) -> None:
        self._refresh_row(self.cursor)

    def on_blur(self) -> None:
        self._refresh_row(self.cursor)

    def on_resize(self) -> None:
        self._show_cursor()

    def on_click(self, event: Click) -> None:
        index = self.scroll_offset.y + event.y - 1
        if event.y >= 1 and index < len(self.rows):
            self.cursor = index
            if event.chain == 2:
                self.post_message(self.Opened(self, index))

    def action_up(self) -> None:
        self.cursor -= 1

    def action_down(self) -> None:
        self.cursor += 1

    def action_first(self) -> None:
        self.cursor = 0

    def action_last(self) -> None:
        self.cursor = len(self.rows) - 1

    def action_half_up(self) -> None:
        self.cursor -= max(1, self.size.height // 2)

    def action_half_down(self) -> None:
        self.cursor += max(1, self.size.height // 2)

    def action_page_up(self) -> None:
        self.cursor -= max(1, self.size.height - 1)

    def action_page_down(self) -> None:
        self.cursor += max(1, self.size.height - 1)

    def action_open(self) -> None:
        if len(self.rows):
            self.post_message(self.Opened(self, self.cursor))


def fit(words: str, width: int, right: bool = False) -> str:
    """The words in exactly so many cells: cut at the end or padded, control characters shown."""
    words = visible(words, newlines=False, tabs=False)
    if right:
        words = words.rjust(width)
    return set_cell_size(words, width)
