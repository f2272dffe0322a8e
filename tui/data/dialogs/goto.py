"""Going to a row by its number."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.widgets import Input

from core.data.escape import visible
from tui.dialogs.dialog import Dialog
from tui.theme import RED
from tui.widgets.footer import Footer
from tui.widgets.frame import Frame


class GotoDialog(Dialog[int]):
    """Dismissed with the row's number, from 1. A share such as 50% is a number too."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self._rows = rows

    def compose(self) -> ComposeResult:
        with Frame("go to row", f"1 to {self._rows:,}, or 50%"):
            yield Input(compact=True)
        yield Footer()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        number = row_number(event.value, self._rows)
        if number is not None:
            self.dismiss(number)
            return
        words = f'There is no row "{visible(event.value)}": 1 to {self._rows:,}, or 50%'
        self.query_one(Frame).set_facts(Text(words, RED))


def row_number(text: str, rows: int) -> int | None:
    """The row that was meant by "7", "12,480" or "50%"; None if there is no such row."""
    words = text.strip().replace(",", "").replace("_", "")
    if words.endswith("%") and words[:-1].isascii() and words[:-1].isdigit():
        share = int(words[:-1])
        return max(1, rows * share // 100) if share <= 100 else None
    if not (words.isascii() and words.isdigit()):
        return None
    return int(words) if 1 <= int(words) <= rows else None
