"""A horizontal bar with words beside it: how much of something is done or taken."""

from __future__ import annotations

from rich.text import Text
from textual.app import RenderResult
from textual.reactive import reactive
from textual.widget import Widget

from tui.theme import FIELD, SECONDARY, TEAL

EIGHTHS = " ▏▎▍▌▋▊▉█"


class Gauge(Widget):
    """A bar over the width that its words leave."""

    DEFAULT_CSS = "Gauge { height: 1; width: 1fr; }"

    share: reactive[float] = reactive(0.0)  # 0 to 1
    words: reactive[str] = reactive("")

    def __init__(
        self,
        *,
        ascii_only: bool = False,
        color: str = TEAL,
        id: str | None = None,  # noqa: A002 - Textual's own word
    ) -> None:
        super().__init__(id=id)
        self._ascii = ascii_only
        self._color = color

    def render(self) -> RenderResult:
        width = self.size.width - len(self.words) - (2 if self.words else 0)
        line = Text(no_wrap=True, overflow="crop")
        if width >= 4:
            line.append_text(bar(self.share, width, self._color, self._ascii))
            line.append("  " if self.words else "")
        return line.append(self.words, SECONDARY)


def bar(share: float, width: int, color: str, ascii_only: bool = False) -> Text:
    """A bar of `width` cells, filled to an eighth of a cell."""
    share = min(1.0, max(0.0, share))
    if ascii_only:
        full = round(share * width)
        return Text.assemble(("#" * full, color), ("-" * (width - full), SECONDARY))
    eighths = round(share * width * 8)
    full, part = divmod(eighths, 8)
    filled = "█" * full + (EIGHTHS[part] if part else "")
    return Text.assemble(
        (filled, f"{color} on {FIELD}"), (" " * (width - len(filled)), f"on {FIELD}")
    )
