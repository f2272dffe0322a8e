"""The line of a search: plain words, or a regular expression, checked while it is typed."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Container
from textual.widgets import Input

from tui.actions import Scoped, bindings
from tui.data.search import REGEX, read_search, toggled
from tui.dialogs.dialog import Dialog
from tui.theme import AMBER, RED
from tui.widgets.footer import Footer
from tui.widgets.frame import Frame


class SearchBox(Scoped, Container):
    """Adds the key between plain words and expressions to the line in it."""

    DEFAULT_CSS = "SearchBox { width: 1fr; height: 1; }"
    scope = "searching"
    BINDINGS = bindings("searching")

    def action_regex(self) -> None:
        line = self.query_one(Input)
        line.value = toggled(line.value)
        line.cursor_position = len(line.value)


class SearchLine(Dialog[str]):
    """Dismissed with the text on enter, as `read_search` takes it."""

    def __init__(self, value: str = "") -> None:
        super().__init__()
        self._value = value

    def compose(self) -> ComposeResult:
        with Frame("search"), SearchBox():
            yield Input(self._value, compact=True)
        yield Footer()

    def on_mount(self) -> None:
        self._judge(self._value)

    def on_input_changed(self, event: Input.Changed) -> None:
        self._judge(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if self._judge(event.value):
            self.dismiss(event.value)

    def _judge(self, text: str) -> bool:
        """Says in the frame how the text is read; whether it can be."""
        frame = self.query_one(Frame)
        regex = text.startswith(REGEX)
        frame.set_title("search: regular expression" if regex else "search")
        try:
            read_search(text)
        except ValueError as error:
            frame.set_facts(Text(str(error), RED))
            return False
        words = "regular expression" if regex else "plain words"
        frame.set_facts(Text(f"{words}, tab changes it", AMBER if regex else ""))
        return True
