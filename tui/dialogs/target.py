"""Choosing what to chat with: a list that narrows while one types, or a path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from textual.app import ComposeResult

from core.data.escape import visible
from tui.dialogs.choice import ChoiceBox, Entry
from tui.dialogs.dialog import Dialog
from tui.targets import Offer
from tui.theme import BLUE, SECONDARY, TEAL
from tui.widgets.footer import Footer
from tui.widgets.frame import Frame
from tui.widgets.row_list import Column

COLUMNS = (Column("model", 28), Column("", 11), Column("where", 0))
COLORS = {
    "tuned": TEAL,
    "gguf": TEAL,
    "onnx": TEAL,
    "merged": TEAL,
    "base": BLUE,
    "sample base": BLUE,
}


class TargetDialog(Dialog[str]):
    """Dismissed with the word of a TARGET: an entry's, or the path that was typed."""

    def __init__(self, title: str, offers: Sequence[Offer]) -> None:
        super().__init__()
        self._title = title
        self._offers = offers

    def compose(self) -> ComposeResult:
        with Frame(self._title, "or the path of a model or ONNX folder or a .gguf file"):
            yield ChoiceBox(COLUMNS, self._matching, placeholder="part of a name, or a path")
        yield Footer()

    def _matching(self, text: str) -> list[Entry]:
        wanted = text.lower().split()
        return [
            _entry(offer)
            for offer in self._offers
            if all(word in f"{offer.name} {offer.what} {offer.word}".lower() for word in wanted)
        ]

    def on_choice_box_taken(self, event: ChoiceBox.Taken) -> None:
        typed = event.text.strip()
        if typed and not event.moved and Path(typed).expanduser().exists():
            self.dismiss(typed)
        elif event.entry is not None:
            self.dismiss(event.entry.value)
        else:
            self.afina.say(f'There is no model "{typed}".', "warning")


def _entry(offer: Offer) -> Entry:
    color = COLORS.get(offer.what, SECONDARY)
    cells = (visible(offer.name), (offer.what, color), (visible(offer.word), SECONDARY))
    return Entry(offer.word, cells)
