"""Choosing a way to make a run fit, of those that a probe found, best first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult

from core.figures import size
from tui.dialogs.choice import ChoiceBox, Entry
from tui.dialogs.dialog import Dialog
from tui.options import label_of, text_of
from tui.theme import GREEN, SECONDARY
from tui.widgets.footer import Footer
from tui.widgets.frame import Frame, Words
from tui.widgets.row_list import Column

if TYPE_CHECKING:
    from core.plan.probe_result import Fix

COLUMNS = (
    Column("what", 0),
    Column("saves", 11, right=True),
    Column("", 10),
)


class Fixes(Dialog["Fix"]):
    """Dismissed with the fix."""

    def __init__(self, fixes: list[Fix]) -> None:
        super().__init__()
        self._fixes = fixes

    def compose(self) -> ComposeResult:
        with Frame("ways to less memory"):
            yield ChoiceBox(COLUMNS, self._offer, placeholder="a few letters")
            yield Words(id="note")
        yield Footer()

    def _offer(self, text: str) -> list[Entry]:
        return [
            Entry(fix, (fix.words, (size(fix.saves_bytes), GREEN), (known(fix), SECONDARY)))
            for fix in self._fixes
            if text.casefold() in fix.words.casefold()
        ]

    def on_mount(self) -> None:
        self.on_choice_box_pointed()

    def on_choice_box_pointed(self) -> None:
        entry = self.query_one(ChoiceBox).entry
        words = options_text(entry.value) if entry else ""
        self.query_one("#note", Words).update(words)

    def on_choice_box_taken(self, event: ChoiceBox.Taken) -> None:
        if event.entry is not None:
            self.dismiss(event.entry.value)


def known(fix: Fix) -> str:
    return "measured" if fix.measured else "estimated"


def options_text(fix: Fix) -> str:
    """ "gradient_checkpointing true, max_length 256"."""
    return ", ".join(f"{label_of(name)} {text_of(value)}" for name, value in fix.options.items())
