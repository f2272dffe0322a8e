"""The colours and glyphs of the workbench.

Exact values of the 256-colour palette, so that a terminal without true colour shows the same. Style
sheets use them as $amber, $teal and so on; drawing code imports the names.
"""

from __future__ import annotations

from typing import NamedTuple

from textual.scrollbar import ScrollBar, ScrollBarRender
from textual.theme import Theme

BACKGROUND = "#1c1c1c"  # 234
BAR = "#262626"  # 235
FIELD = "#303030"  # 236
SELECTION = "#3a3a3a"  # 237
FRAME = "#4e4e4e"  # 239
SECONDARY = "#8a8a8a"  # 245
TEXT = "#d0d0d0"  # 252
BRIGHT = "#ffffff"  # 231: the row under the cursor
AMBER = "#ffaf5f"  # 215: focus, keys, where you are
TEAL = "#5fd7af"  # 79: what the model learns, what lives
BLUE = "#87afd7"  # 110: what people said, groups
GREEN = "#87d787"  # 114
YELLOW = "#ffd75f"  # 221: warnings
RED = "#ff5f5f"  # 203: errors

SEVERITY = {"error": RED, "warning": YELLOW, "note": BLUE}

THEME = Theme(
    name="afina",
    primary=AMBER,
    secondary=BLUE,
    accent=AMBER,
    foreground=TEXT,
    background=BACKGROUND,
    surface=BACKGROUND,
    panel=BAR,
    boost=BAR,
    success=GREEN,
    warning=YELLOW,
    error=RED,
    dark=True,
    variables={
        "bar": BAR,
        "field": FIELD,
        "selection": SELECTION,
        "frame": FRAME,
        "muted": SECONDARY,
        "bright": BRIGHT,
        "amber": AMBER,
        "teal": TEAL,
        "blue": BLUE,
        "green": GREEN,
        "yellow": YELLOW,
        "red": RED,
        "scrollbar": FRAME,
        "scrollbar-hover": SECONDARY,
        "scrollbar-active": AMBER,
        "scrollbar-background": BACKGROUND,
        "scrollbar-background-hover": BACKGROUND,
        "scrollbar-background-active": BACKGROUND,
        "scrollbar-corner-color": BACKGROUND,
        "block-cursor-background": SELECTION,
        "block-cursor-foreground": BRIGHT,
        "block-cursor-text-style": "none",
        "input-cursor-background": TEXT,
        "input-cursor-foreground": BACKGROUND,
        "input-selection-background": SELECTION,
    },
)


class Symbols(NamedTuple):
    """Every glyph outside ASCII that the workbench draws by itself."""

    cursor: str
    live: str  # before a run that is at work
    problem: str  # before a sentence about an error or a warning
    dot: str  # between facts
    bars: str  # a histogram's eight heights, lowest first
    full: str  # one cell of a horizontal bar
    quote: str  # at the left of what a person said
    caret: str  # end of a text that still grows
    check: str
    cross: str
    newline: str
    ellipsis: str
    times: str
    order: str  # beside the column that sorts: ascending, descending
    subscripts: bool  # whether small digits can be drawn


# fmt: off
UNICODE = Symbols("▶", "●", "▲", "·", "▁▂▃▄▅▆▇█", "█", "▌", "▌", "✓", "✗", "↵", "…", "×", "↑↓",
                  True)
ASCII = Symbols(">", "*", "!", "-", "_.-:=+*#", "#", "|", "_", "yes", "no", "$", "~", "x", "^v",
                False)
# fmt: on


class AsciiScrollBar(ScrollBarRender):
    """A scrollbar of whole cells, for terminals without eighths of a block."""

    VERTICAL_BARS = [" "]
    HORIZONTAL_BARS = [" "]


def use_ascii_scrollbars() -> None:
    """Textual has one renderer for all scrollbars."""
    ScrollBar.renderer = AsciiScrollBar
