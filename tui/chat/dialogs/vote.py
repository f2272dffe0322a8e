"""A vote: which of the answers is the better one."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.app import ComposeResult
from textual.events import Key

from tui.dialogs.dialog import Dialog
from tui.theme import AMBER, SECONDARY
from tui.widgets.footer import Footer
from tui.widgets.frame import Frame, Words

TIE, BAD = "=", "-"


class Vote(Dialog[str]):
    """Dismissed with a column's letter, "=" for a tie, "-" when both are bad."""

    CSS = """
    Vote { align: center bottom; }
    Vote > Frame { height: auto; max-width: 64; margin: 0 0 4 0; padding: 0 2; }
    """

    def __init__(self, letters: Sequence[str]) -> None:
        super().__init__()
        self._letters = letters

    def compose(self) -> ComposeResult:
        line = Text()
        for key, label in [*((letter, "") for letter in self._letters), (TIE, "tie"), (BAD, "both bad")]:  # fmt: skip # noqa: E501
            line.append(key, f"bold {AMBER}").append(f" {label}   " if label else "   ", SECONDARY)
        with Frame("Which answer is better?"):
            yield Words(line)
        yield Footer()

    def on_key(self, event: Key) -> None:
        said = (event.character or "").lower()
        if said in (TIE, BAD) or (said and said in [letter.lower() for letter in self._letters]):
            event.stop()
            self.dismiss(said.upper() if said.isalpha() else said)
