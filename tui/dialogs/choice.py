"""A line to type in and, under it, the entries that it leaves: for the palette and for paths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from textual.app import ComposeResult
from textual.containers import Container
from textual.message import Message
from textual.widgets import Input

from tui.actions import Scoped, bindings
from tui.widgets.row_list import Cell, Column, RowList


class Entry(NamedTuple):
    """One thing to choose, and how it is drawn."""

    value: Any
    cells: Sequence[Cell]


class Entries(list[Entry]):
    """The entries as the rows of a RowList."""

    def cells(self, index: int) -> Sequence[Cell]:
        return self[index].cells


class ChoiceBox(Scoped, Container):
    """Asks `offer` for the entries at each change of the text; posts what was taken."""

    DEFAULT_CSS = "ChoiceBox { layout: vertical; width: 1fr; height: 1fr; }"
    scope = "choice"
    BINDINGS = bindings("choice")

    class Taken(Message):
        """Enter: the text, and the entry under the cursor if there is one."""

        def __init__(self, text: str, entry: Entry | None, moved: bool) -> None:
            super().__init__()
            self.text = text
            self.entry = entry
            self.moved = moved  # whether the person went to the entry with the arrows

    class Pointed(Message):
        """The cursor stands on another entry, or on none."""

    def __init__(
        self,
        columns: Sequence[Column],
        offer: Callable[[str], Sequence[Entry]],
        value: str = "",
        placeholder: str = "",
    ) -> None:
        super().__init__()
        self._columns = columns
        self._offer = offer
        self._value = value
        self._placeholder = placeholder
        self._moved = False

    def compose(self) -> ComposeResult:
        yield Input(self._value, placeholder=self._placeholder, compact=True, select_on_focus=False)
        entries = RowList(self._columns, Entries(self._offer(self._value)))
        entries.can_focus = False
        entries.lit = True
        yield entries

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    @property
    def text(self) -> str:
        return self.query_one(Input).value

    def write(self, text: str) -> None:
        """Replaces the text in the line."""
        line = self.query_one(Input)
        line.value = text
        line.cursor_position = len(text)

    def on_input_changed(self, event: Input.Changed) -> None:
        self._moved = False
        self.query_one(RowList).set_rows(Entries(self._offer(event.value)))
        self.post_message(self.Pointed())

    def on_row_list_moved(self, event: RowList.Moved) -> None:
        event.stop()
        self.post_message(self.Pointed())

    def on_input_submitted(self) -> None:
        self.action_take()

    def on_row_list_opened(self) -> None:
        self._moved = True
        self.action_take()

    def action_up(self) -> None:
        self._moved = True
        self.query_one(RowList).action_up()

    def action_down(self) -> None:
        self._moved = True
        self.query_one(RowList).action_down()

    @property
    def entry(self) -> Entry | None:
        """The entry under the cursor."""
        entries = self.query_one(RowList)
        assert isinstance(entries.rows, Entries)
        return entries.rows[entries.cursor] if entries.rows else None

    def action_take(self) -> None:
        self.post_message(self.Taken(self.text, self.entry, self._moved))
