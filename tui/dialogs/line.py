"""One line of text, asked for at the foot of the screen: what to search for, a name."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Input

from tui.dialogs.dialog import Dialog
from tui.widgets.footer import Footer
from tui.widgets.frame import Frame


class Line(Dialog[str]):
    """Dismissed with the text on enter."""

    def __init__(self, title: str, value: str = "", facts: str = "") -> None:
        super().__init__()
        self._title = title
        self._value = value
        self._facts = facts

    def compose(self) -> ComposeResult:
        with Frame(self._title, self._facts):
            yield Input(self._value, compact=True)
        yield Footer()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)
