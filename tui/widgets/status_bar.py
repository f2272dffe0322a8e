"""The top line: the panes at the left, the active run and the device at the right."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text
from textual.app import RenderResult
from textual.events import Click
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from core.figures import duration
from tui.activity import Activity
from tui.theme import AMBER, BACKGROUND, GREEN, SECONDARY, SELECTION, TEAL, TEXT

TITLES = {"data": "Data", "train": "Train", "runs": "Runs", "chat": "Chat", "export": "Export"}
BADGE = " afina "


class StatusBar(Widget):
    """Which pane is open, and what is going on outside it."""

    DEFAULT_CSS = "StatusBar { dock: top; height: 1; background: $bar; }"

    class Chosen(Message):
        """A pane's name was clicked."""

        def __init__(self, pane: str) -> None:
            super().__init__()
            self.pane = pane

    pane = reactive("")
    activity: reactive[Activity] = reactive(Activity)

    def render(self) -> RenderResult:
        line = self._panes()
        space = self.size.width - line.cell_len - 2
        live = self.app.symbols.live  # type: ignore[attr-defined]
        right = next((w for w in activity_words(self.activity, live) if w.cell_len <= space), None)
        if right is not None:
            line.append(" " * (space - right.cell_len + 1)).append_text(right)
        return line

    def _panes(self) -> Text:
        line = Text(no_wrap=True)
        line.append(BADGE, f"bold {BACKGROUND} on {AMBER}").append(" ")
        for number, (name, title) in enumerate(TITLES.items(), start=1):
            here = name == self.pane
            ground = f" on {SELECTION}" if here else ""
            line.append(f" {number}", f"{'bold ' if here else ''}{AMBER}{ground}")
            line.append(f" {title} ", (f"bold {AMBER}" if here else SECONDARY) + ground)
        return line

    def on_click(self, event: Click) -> None:
        column = len(BADGE) + 1
        for number, (name, title) in enumerate(TITLES.items(), start=1):
            width = len(f" {number} {title} ")
            if column <= event.x < column + width:
                self.post_message(self.Chosen(name))
            column += width


def activity_words(activity: Activity, live: str) -> Iterator[Text]:
    """What goes on, from the fullest to the shortest form; nothing when nothing does."""
    device = Text(activity.device, SECONDARY)
    device.highlight_regex(r"\d+%", TEAL)
    if not activity.run:
        if activity.device:
            yield device
        return
    head = Text(f"{live} ", GREEN)
    if activity.runs > 1:
        head.append(f"{activity.runs} runs ", SECONDARY)
    full = head.copy().append(activity.run, TEXT).append(f" {_progress(activity)}", SECONDARY)
    if activity.device:
        yield full.copy().append("  ").append_text(device)
    yield full
    percent = f" {activity.step * 100 // activity.steps}%" if activity.steps else ""
    eta = "" if activity.eta_s is None or activity.quiet_s else f" {duration(activity.eta_s)}"
    words = percent + eta or f" {activity.phase or activity.state}"
    yield head.copy().append(activity.run, TEXT).append(words, SECONDARY)
    yield head.copy().append(activity.run[:8], TEXT).append(words, SECONDARY)
    yield head.copy().append(words.strip(), SECONDARY)


def _progress(activity: Activity) -> str:
    """ "412/900 loss 1.23 eta 8 min", or what the worker does before its first step."""
    if not activity.steps or (activity.phase and not activity.step):
        return activity.phase or activity.state
    parts = [f"{activity.step:,}/{activity.steps:,}"]
    if activity.loss is not None:
        parts.append(f"loss {activity.loss:.2f}")
    if activity.quiet_s:
        parts.append(f"no event for {duration(activity.quiet_s)}")
    elif activity.state == "stopping":
        parts.append("stopping")
    elif activity.eta_s is not None:
        parts.append(f"eta {duration(activity.eta_s)}")
    return " ".join(parts)


class TooSmall(Widget):
    """What a terminal under 60x16 shows: the size needed, and the number people came for."""

    DEFAULT_CSS = "TooSmall { width: 1fr; height: 1fr; }"
    activity: reactive[Activity] = reactive(Activity)

    def render(self) -> RenderResult:
        size = self.app.size
        words = Text("Afina needs 60x16, and this terminal has ")
        words.append(f"{size.width}x{size.height}", AMBER).append(".")
        if self.activity.run:
            words.append(f" {self.activity.run} {_progress(self.activity)}.")
        return words
