"""A text that scrolls: wrapped once for a width, drawn line by line."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.actions import Scoped, bindings
from tui.theme import BACKGROUND, TEXT

STYLE = Style.parse(f"{TEXT} on {BACKGROUND}")


class TextView(Scoped, ScrollView, can_focus=True, inherit_bindings=False):
    """Shows a rich Text; its spans are the only styling, nothing in it is markup."""

    DEFAULT_CSS = """
    TextView {
        width: 1fr; height: 1fr; background: $background;
        overflow-x: hidden; overflow-y: auto; scrollbar-size: 1 1;
    }
    """
    scope = "text"
    BINDINGS = bindings("text")

    def __init__(self, text: Text | None = None, **options) -> None:  # noqa: ANN003
        super().__init__(**options)
        self._text = text or Text()
        self._lines: list[Text] = []
        self._width = 0  # cells for which the lines are wrapped; 0: not yet

    @property
    def plain(self) -> str:
        """The text as it is, without styles."""
        return self._text.plain

    def set_text(self, text: Text, stay: bool = False) -> None:
        """Shows another text from its top; with `stay` from where the old one was scrolled to."""
        self._text = text
        self._width = 0
        self._wrap()
        if not stay:
            self.scroll_to(y=0, animate=False, force=True)
        self.refresh()

    def on_resize(self) -> None:
        self._wrap()

    def _wrap(self) -> None:
        width = self.scrollable_content_region.width
        if width <= 0 or width == self._width:
            return
        self._width = width
        self._lines = list(self._text.wrap(self.app.console, width, tab_size=4))
        self.virtual_size = Size(width, len(self._lines))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        self._wrap()
        width = self.scrollable_content_region.width
        index = self.scroll_offset.y + y
        if index >= len(self._lines):
            return Strip.blank(width, STYLE)
        segments = self._lines[index].render(self.app.console, end="")
        return Strip(Segment.apply_style(segments, STYLE)).adjust_cell_length(width, STYLE)

    def _scroll(self, lines: int) -> None:
        self.scroll_to(y=self.scroll_offset.y + lines, animate=False)

    def action_up(self) -> None:
        self._scroll(-1)

    def action_down(self) -> None:
        self._scroll(1)

    def action_first(self) -> None:
        self.scroll_to(y=0, animate=False)

    def action_last(self) -> None:
        self.scroll_to(y=self.max_scroll_y, animate=False)

    def action_half_up(self) -> None:
        self._scroll(-max(1, self.size.height // 2))

    def action_half_down(self) -> None:
        self._scroll(max(1, self.size.height // 2))

    def action_page_up(self) -> None:
        self._scroll(-max(1, self.size.height - 1))

    def action_page_down(self) -> None:
        self._scroll(max(1, self.size.height - 1))
