"""A few lines of text to write, such as a system prompt."""

from __future__ import annotations

from textual.app import ComposeResult

from tui.dialogs.dialog import Dialog
from tui.widgets.footer import Footer
from tui.widgets.frame import Frame
from tui.widgets.prompt_box import PromptBox


class TextDialog(Dialog[str]):
    """Dismissed with the text on enter."""

    CSS = """
    TextDialog > Frame { height: auto; }
    TextDialog PromptBox { height: auto; min-height: 4; max-height: 16; }
    """

    def __init__(self, title: str, value: str = "", facts: str = "") -> None:
        super().__init__()
        self._title = title
        self._value = value
        self._facts = facts

    def compose(self) -> ComposeResult:
        with Frame(self._title, self._facts):
            yield PromptBox(self._value)
        yield Footer()

    def on_mount(self) -> None:
        super().on_mount()
        box = self.query_one(PromptBox)
        box.move_cursor(box.document.end)
        box.focus()

    def on_prompt_box_sent(self, event: PromptBox.Sent) -> None:
        self.dismiss(event.text)
