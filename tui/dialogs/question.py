"""A question with yes and no."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult

from tui.actions import bindings
from tui.dialogs.dialog import Dialog
from tui.widgets.footer import Footer
from tui.widgets.frame import Frame, Words


class Question(Dialog[bool]):
    """Asks before something that can't be taken back; dismissed with True for yes."""

    scope = "question"
    BINDINGS = bindings("question")

    def __init__(self, title: str, words: str | Text) -> None:
        super().__init__()
        self._title = title
        self._words = words

    def compose(self) -> ComposeResult:
        with Frame(self._title):
            yield Words(self._words, id="words")
        yield Footer()

    def action_yes(self) -> None:
        self.dismiss(True)

    def action_no(self) -> None:
        self.dismiss(False)
