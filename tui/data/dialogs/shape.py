"""Choosing the shape of the rows, where what was found out is not what is meant."""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult

from core.data.shapes.detect import SHAPES
from tui.data.text import shape_words
from tui.dialogs.choice import ChoiceBox, Entry
from tui.dialogs.dialog import Dialog
from tui.theme import AMBER, SECONDARY
from tui.widgets.footer import Footer
from tui.widgets.frame import Frame
from tui.widgets.row_list import Column

COLUMNS = (Column("shape", 18), Column("a row has", 0), Column("", 4))
ROWS = {
    "chat": "messages: role, content",
    "sharegpt": "conversations: from, value",
    "alpaca": "instruction, input, output",
    "prompt_completion": "prompt, completion; or question, answer",
    "template": "any columns, laid out by data.prompt_template",
    "text": "text",
    "pretokenised": "input_ids, labels",
    "preference": "prompt, chosen, rejected",
    "kto": "prompt, completion, label: true or false",
    "classification": "text, label",
}


class ShapeDialog(Dialog[str]):
    """Dismissed with a value of data.format. `opened`: the worker's answer, or nothing yet."""

    def __init__(self, now: str, opened: dict[str, Any]) -> None:
        super().__init__()
        self._now = now
        self._opened = opened

    def compose(self) -> ComposeResult:
        with Frame("shape of the rows", "kept as data.format"):
            yield ChoiceBox(COLUMNS, self._offer, placeholder="a few letters of its name")
        yield Footer()

    def _offer(self, text: str) -> list[Entry]:
        found = [self._entry("auto", "auto", auto_words(self._opened))]
        found += [self._entry(name, shape_words(name), ROWS[name]) for name in SHAPES]
        return [entry for entry in found if text.casefold() in str(entry.cells[0]).casefold()]

    def _entry(self, name: str, words: str, what: str) -> Entry:
        here = "now" if name == self._now else ""
        return Entry(name, (words, (what, SECONDARY), (here, AMBER)))

    def on_choice_box_taken(self, event: ChoiceBox.Taken) -> None:
        if event.entry is not None:
            self.dismiss(event.entry.value)


def auto_words(opened: dict[str, Any]) -> str:
    """What the sampled rows say."""
    if not opened or opened.get("named"):
        return "found out from rows spread over the file"
    share, sampled = opened["share"], opened["sampled"]
    return f"{shape_words(opened['shape'])}: {share:.0%} of {sampled:,} rows looked at"
