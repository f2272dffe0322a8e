"""Text that grows while one reads it: conversations, samples, logs. A plain view on the Line API.

Text is content: control characters are shown as symbols and markup is never read. What is written
is drawn at most ten times a second, and only the last paragraph is wrapped anew.
"""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.geometry import Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.timer import Timer

from core.data.escape import visible
from tui.actions import Scoped, bindings
from tui.theme import UNICODE, Symbols
from tui.widgets.wrap import wrap

FLUSH_S = 0.1

# what a block of text is, and how it is drawn
KINDS = {
    "text": "live-text--text",
    "prompt": "live-text--prompt",
    "label": "live-text--label",
    "note": "live-text--note",
    "line": "live-text--note",  # a note in one line, cut where the room ends
    "warning": "live-text--warning",
    "error": "live-text--error",
    "good": "live-text--good",
}


class Block:
    """A stretch of text of one kind. The last one may grow."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        self.text = text
        self.tail = 0  # where the last paragraph begins in the text
        self.tail_line = 0  # and the first of its lines in the view


class LiveText(Scoped, ScrollView, can_focus=True, inherit_bindings=False):
    """Blocks of wrapped text; stays at the end while one has not scrolled away from it."""

    scope = "text"
    BINDINGS = bindings("text")
    COMPONENT_CLASSES = set(KINDS.values())
    DEFAULT_CSS = """
    LiveText {
        scrollbar-size-vertical: 1; scrollbar-gutter: stable; overflow-x: hidden;
        & > .live-text--text { color: $foreground; }
        & > .live-text--prompt { color: $blue; }
        & > .live-text--label { color: $blue; text-style: bold; }
        & > .live-text--note { color: $muted; }
        & > .live-text--warning { color: $yellow; }
        & > .live-text--error { color: $red; }
        & > .live-text--good { color: $green; }
    }
    """

    growing: reactive[bool] = reactive(False)  # draws a caret behind the last character

    def __init__(
        self,
        *,
        symbols: Symbols = UNICODE,
        follow: bool = True,
        most_blocks: int | None = None,
        id: str | None = None,  # noqa: A002 - Textual's own word
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._symbols = symbols
        self._follow = follow
        self._most_blocks = most_blocks
        self._blocks: list[Block] = []
        self._lines: list[tuple[str, str]] = []  # kind, text
        self._pending: list[str] = []
        self._timer: Timer | None = None
        self._styles: dict[str, Style] = {}
        self._wrapped_at = 0

    @property
    def plain(self) -> str:
        """Everything that is shown, one line for each of the view."""
        self.flush()
        return "\n".join(text for _, text in self._lines)

    def block(self, kind: str, text: str = "") -> None:
        """Begins a block; `write` appends to it."""
        self.flush()
        self._add(kind, text)
        self._drop_old()
        self._grown()

    def blocks(self, blocks: list[tuple[str, str]]) -> None:
        """Shows these blocks instead of everything; an equal list changes nothing."""
        self.flush()
        if blocks == [(block.kind, block.text) for block in self._blocks]:
            return
        at_end = self._at_end()
        self._blocks.clear()
        self._lines.clear()
        for kind, text in blocks:
            self._add(kind, text)
        self._drop_old()
        self._grown(at_end)

    def write(self, text: str) -> None:
        """Appends to the last block, soon."""
        self._pending.append(text)
        if self._timer is None and self.is_attached:
            self._timer = self.set_timer(FLUSH_S, self.flush)

    def flush(self) -> None:
        """Draws what was written since the last time."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        if not self._pending:
            return
        text = "".join(self._pending)
        self._pending.clear()
        at_end = self._at_end()
        if not self._blocks:
            self._blocks.append(Block("text", ""))
        block = self._blocks[-1]
        block.text += text
        del self._lines[block.tail_line :]
        self._wrap_tail(block)
        self._grown(at_end)

    def clear(self) -> None:
        self._pending.clear()
        self.blocks([])

    def on_resize(self) -> None:
        if self._width() != self._wrapped_at:
            at_end = self._at_end()
            self._wrap_all()
            self._grown(at_end)

    def watch_growing(self) -> None:
        self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()

    def render_line(self, y: int) -> Strip:
        index = y + self.scroll_offset.y
        width = self.scrollable_content_region.width
        if not 0 <= index < len(self._lines):
            return Strip.blank(width, self.rich_style)
        kind, text = self._lines[index]
        style = self._style(kind)
        segments = [Segment(text, style)]
        if kind == "prompt":
            segments = [Segment(f"{self._symbols.quote} {text}", style)]
        if self.growing and index == len(self._lines) - 1:
            segments.append(Segment(self._symbols.caret, style))
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def action_up(self) -> None:
        self.scroll_relative(y=-1, animate=False)

    def action_down(self) -> None:
        self.scroll_relative(y=1, animate=False)

    def action_first(self) -> None:
        self.scroll_home(animate=False)

    def action_last(self) -> None:
        self.scroll_end(animate=False)

    def action_page_up(self) -> None:
        self.scroll_page_up(animate=False)

    def action_page_down(self) -> None:
        self.scroll_page_down(animate=False)

    def action_half_up(self) -> None:
        self.scroll_relative(y=-(self.size.height // 2), animate=False)

    def action_half_down(self) -> None:
        self.scroll_relative(y=self.size.height // 2, animate=False)

    def _add(self, kind: str, text: str) -> None:
        self._blocks.append(Block(kind, text))
        self._wrap_tail(self._blocks[-1])

    def _wrap_all(self) -> None:
        self._lines.clear()
        for block in self._blocks:
            block.tail = 0
            self._wrap_tail(block)

    def _wrap_tail(self, block: Block) -> None:
        """Wraps a block from its last paragraph on, and remembers where the last one is now."""
        self._wrapped_at = self._width()
        width = self._wrapped_at - (2 if block.kind == "prompt" else 0)
        paragraphs = block.text[block.tail :].split("\n")
        broken = self._cut if block.kind == "line" else wrap
        for paragraph in paragraphs:
            block.tail_line = len(self._lines)
            self._lines += [(block.kind, line) for line in broken(visible(paragraph), width)]
        block.tail = len(block.text) - len(paragraphs[-1])

    def _cut(self, text: str, width: int) -> list[str]:
        line = Text(text)
        line.truncate(width, overflow="ellipsis")
        return [line.plain]

    def _drop_old(self) -> None:
        if self._most_blocks is not None and len(self._blocks) > self._most_blocks:
            del self._blocks[: len(self._blocks) - self._most_blocks]
            self._wrap_all()

    def _grown(self, at_end: bool = True) -> None:
        self.virtual_size = Size(self._wrapped_at, len(self._lines))
        if self._follow and at_end:
            self.scroll_end(animate=False, force=True, immediate=True)
        self.refresh()

    def _at_end(self) -> bool:
        return self.scroll_offset.y >= self.max_scroll_y

    def _width(self) -> int:
        """Cells for a line; one stays free for the caret."""
        return max(1, self.scrollable_content_region.width - 1) if self.is_attached else 80

    def _style(self, kind: str) -> Style:
        if kind not in self._styles:
            own = self.get_component_rich_style(KINDS[kind], partial=True)
            self._styles[kind] = self.rich_style + own
        return self._styles[kind]
