"""A text to read, in a frame over the pane."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult

from tui.dialogs.dialog import Dialog
from tui.widgets.footer import Footer
from tui.widgets.frame import Frame
from tui.widgets.text_view import TextView


class About(Dialog[None]):
    """Shows it."""

    def __init__(self, title: str, words: Text) -> None:
        super().__init__()
        self._title = title
        self._words = words

    def compose(self) -> ComposeResult:
        with Frame(self._title, "esc closes"):
            yield TextView()
        yield Footer()

    def on_mount(self) -> None:
        self.query_one(TextView).set_text(self._words)
