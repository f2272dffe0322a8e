"""Choosing a fact to sort the rows by, and which end comes first."""

from __future__ import annotations

from typing import NamedTuple

from textual.app import ComposeResult

from tui.dialogs.choice import ChoiceBox, Entry
from tui.dialogs.dialog import Dialog
from tui.theme import AMBER, SECONDARY
from tui.widgets.footer import Footer
from tui.widgets.frame import Frame
from tui.widgets.row_list import Column

COLUMNS = (Column("fact", 12), Column("order", 16), Column("", 0))
# fact, what stands first when it falls and when it rises, what it is; the wanted one comes first
FACTS = (
    ("tokens", "longest first", "shortest first", "tokens before the cut at max_length"),
    ("supervised", "most first", "fewest first", "tokens that count in the loss"),
    ("truncated", "most first", "fewest first", "tokens beyond max_length"),
    ("turns", "most first", "fewest first", "messages"),
    ("severity", "worst first", "best first", "errors, warnings, notes"),
    ("bytes", "largest first", "smallest first", "of the row in the file"),
    ("label", "last first", "first first", "of rows to classify"),
    ("language", "last first", "first first", "of what the row teaches"),
    ("row", "last first", "first first", "its number"),
)


class Sort(NamedTuple):
    """A fact and a direction; an empty fact is the order of the file."""

    fact: str
    descending: bool = False


class SortDialog(Dialog[Sort]):
    """Dismissed with the order."""

    def __init__(self, now: Sort) -> None:
        super().__init__()
        self._now = now

    def compose(self) -> ComposeResult:
        with Frame("sort rows"):
            yield ChoiceBox(COLUMNS, self._offer, placeholder="a few letters of the fact")
        yield Footer()

    def _offer(self, text: str) -> list[Entry]:
        wanted = text.casefold().split()
        found = [self._entry(Sort(""), "file", "as in the file", "")]
        for fact, falling, rising, what in FACTS:
            found.append(self._entry(Sort(fact, True), fact, falling, what))
            found.append(self._entry(Sort(fact, False), "", rising, ""))
        known = [(entry, f"{entry.value.fact} {entry.cells[1]}") for entry in found]
        return [entry for entry, words in known if all(word in words for word in wanted)]

    def _entry(self, sort: Sort, fact: str, order: str, what: str) -> Entry:
        here = sort == self._now
        note = "now" if here else what
        return Entry(sort, (fact or sort.fact, order, (note, AMBER if here else SECONDARY)))

    def on_choice_box_taken(self, event: ChoiceBox.Taken) -> None:
        if event.entry is not None:
            self.dismiss(event.entry.value)
