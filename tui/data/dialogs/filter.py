"""Writing a filter: checked while it is typed, with the place of what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Container
from textual.widgets import Input

from core.data.escape import visible
from tui.actions import Scoped, bindings
from tui.data.filter_words import Offer, mistake, offers
from tui.dialogs.choice import ChoiceBox, Entry
from tui.dialogs.dialog import Dialog
from tui.theme import AMBER, RED, SECONDARY
from tui.widgets.footer import Footer
from tui.widgets.frame import Frame, Words
from tui.widgets.row_list import Column

COLUMNS = (Column("what can come next", 34), Column("", 0))


class FilterBox(Scoped, Container):
    """Adds the completing key to the box in it."""

    DEFAULT_CSS = "FilterBox { width: 1fr; height: 1fr; }"
    scope = "filtering"
    BINDINGS = bindings("filtering")

    def action_complete(self) -> None:
        box = self.query_one(ChoiceBox)
        if box.entry is not None:
            box.write(box.entry.value.text)


class FilterChoice(ChoiceBox):
    """The line, below it what is wrong with it, and the words that can come next."""

    def compose(self) -> ComposeResult:
        line, entries = super().compose()
        yield line
        yield Words(id="wrong")
        yield entries


class FilterDialog(Dialog[str]):
    """Dismissed with an expression that can be used; empty for all rows."""

    def __init__(self, value: str, checks: Sequence[str]) -> None:
        super().__init__()
        self._value = value
        self._checks = checks

    def compose(self) -> ComposeResult:
        with Frame("filter", "enter shows the rows, tab completes"), FilterBox():
            yield FilterChoice(COLUMNS, self._offer, self._value, "all rows")
        yield Footer()

    def on_mount(self) -> None:
        line = self.query_one(Input)
        line.cursor_position = len(self._value)
        self._judge(self._value)

    def _offer(self, text: str) -> list[Entry]:
        return [_entry(offer) for offer in offers(text, self._checks)]

    def on_choice_box_pointed(self) -> None:
        self._judge(self.query_one(ChoiceBox).text)

    def on_choice_box_taken(self, event: ChoiceBox.Taken) -> None:
        if event.moved and event.entry is not None:
            self.query_one(ChoiceBox).write(event.entry.value.text)
        elif self._judge(event.text):
            self.dismiss(event.text)

    def _judge(self, text: str) -> bool:
        """Says below the line what is wrong and points at it; whether it can be used."""
        wrong = mistake(text)
        words = Text()
        if wrong is not None:
            if wrong.column is not None:
                room = max(0, self.query_one("#wrong").size.width - 4)
                words.append(" " * min(wrong.column, room) + "^", AMBER)
            words.append(f"\n{visible(wrong.message)}", RED)
        self.query_one("#wrong", Words).update(words)
        return wrong is None


def _entry(offer: Offer) -> Entry:
    return Entry(offer, (offer.word, (offer.meaning, SECONDARY)))
