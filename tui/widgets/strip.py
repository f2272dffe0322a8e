"""One line of figures under a pane: label, value, label, value; what doesn't fit is left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.text import Text
from textual.app import RenderResult
from textual.reactive import reactive
from textual.widget import Widget

from core.data.escape import visible
from tui.theme import SECONDARY, TEXT


class Figure(NamedTuple):
    """A label and its value; the value's colour says whether it wants a decision."""

    label: str
    value: str
    colour: str = TEXT


class FigureStrip(Widget):
    """The line. `figures` are dropped from the end until they fit."""

    DEFAULT_CSS = "FigureStrip { height: 1; background: $field; padding: 0 1; }"
    figures: reactive[Sequence[Figure]] = reactive(())

    def render(self) -> RenderResult:
        line = Text(no_wrap=True)
        for figure in self.figures:
            part = Text(visible(figure.label), SECONDARY)
            if figure.label and figure.value:
                part.append(" ")
            part.append(visible(figure.value), figure.colour)
            gap = "   " if line.plain else ""
            if line.cell_len + len(gap) + part.cell_len > self.size.width:
                if not line.plain:  # a sentence: its beginning says more than nothing
                    part.truncate(self.size.width, overflow="ellipsis")
                    line.append_text(part)
                break
            line.append(gap).append_text(part)
        return line


def histogram_bars(counts: Sequence[int], width: int, bars: str) -> str:
    """A histogram as a word of at most `width` bars; the empty bins at its ends are left out."""
    filled = [index for index, count in enumerate(counts) if count]
    if not filled:
        return ""
    counts = counts[filled[0] : filled[-1] + 1]
    width = min(width, len(counts))
    merged = [0] * width
    for index, count in enumerate(counts):
        merged[index * width // len(counts)] += count
    top = max(merged)
    last = len(bars) - 1
    return "".join(
        " " if not count else bars[max(0, round(count * last / top))] for count in merged
    )
