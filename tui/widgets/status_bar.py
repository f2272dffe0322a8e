"""The top line: the panes at the left, the active run and the device at the right."""

from __future__ import annotations

from rich.text import Text
from textual.app import RenderResult
from textual.events import Click
from textual.reactive import reactive
from textual.widget import Widget

from tui.theme import AMBER, BACKGROUND, SECONDARY, SELECTION

TITLES = {"data": "Data", "train": "Train", "runs": "Runs", "chat": "Chat", "export": "Export"}


class StatusBar(Widget):
    """Which pane is open, and what is going on outside it."""

    DEFAULT_CSS = "StatusBar { dock: top; height: 1; background: $bar; }"

    pane = reactive("")
    activity: reactive[Text] = reactive(Text)

    def render(self) -> RenderResult:
        line = self._panes()
        right = self.activity
        space = self.size.width - line.cell_len - right.cell_len - 1
        if right.plain and space >= 1:
            line.append(" " * space).append_text(right)
        return line

    def _panes(self) -> Text:
        line = Text(no_wrap=True)
        line.append(" afina ", f"bold {BACKGROUND} on {AMBER}")
        line.append(" ")
        for number, (name, title) in enumerate(TITLES.items(), start=1):
            here = name == self.pane
            ground = f" on {SELECTION}" if here else ""
            line.append(f" {number}", f"{'bold ' if here else ''}{AMBER}{ground}")
            line.append(f" {title} ", (f"bold {AMBER}" if here else SECONDARY) + ground)
        return line

    def on_click(self, event: Click) -> None:
        column = 8
        for number, (name, title) in enumerate(TITLES.items(), start=1):
            width = len(f" {number} {title} ")
            if column <= event.x < column + width:
                self.app.call_later(self.app.show_pane, name)  # type: ignore[attr-defined]
            column += width
