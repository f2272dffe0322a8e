"""Choosing what a new run takes of an old one: its configuration alone, or its weights too."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult

from core.figures import short
from tui.dialogs.choice import ChoiceBox, Entry
from tui.dialogs.continue_from import Start
from tui.dialogs.dialog import Dialog
from tui.theme import SECONDARY, TEAL
from tui.widgets.footer import Footer
from tui.widgets.frame import Frame
from tui.widgets.row_list import Column

COLUMNS = (Column("what", 30), Column("eval", 7, right=True), Column("", 0))
COPY = ""  # of the configuration, from the same start


class Fork(Dialog[str]):
    """Dismissed with the word for model.continue_from, or with COPY."""

    def __init__(self, name: str, points: Sequence[Start]) -> None:
        super().__init__()
        self._name = name
        self._points = points

    def compose(self) -> ComposeResult:
        with Frame(f"a new run out of {self._name}", "opens in Train; nothing starts yet"):
            yield ChoiceBox(COLUMNS, self._offer, placeholder="a few letters")
        yield Footer()

    def _offer(self, text: str) -> list[Entry]:
        entries = [
            Entry(COPY, ("train it again", "", ("the same configuration", SECONDARY))),
            *(
                Entry(
                    point.word,
                    ((f"go on from its {point.point}", TEAL), short(point.eval_loss), ""),
                )
                for point in self._points
            ),
        ]
        return [entry for entry in entries if text.casefold() in str(entry.cells[0]).casefold()]

    def on_choice_box_taken(self, event: ChoiceBox.Taken) -> None:
        if event.entry is not None:
            self.dismiss(event.entry.value)
