"""A live chart of one or two curves in braille, drawn with Textual's Line API.

Takes points, draws, and repaints only the cells that changed. Opens no file and knows no run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from core.figures import short
from tui.widgets.axis import labels, log_ticks, rounded, ticks
from tui.widgets.braille import Canvas
from tui.widgets.points import Points

TITLE_ROWS = 1
AXIS_ROWS = 2  # the line and the step range beneath it
OWNERS = "12"  # letters of the first and the second curve on the canvas
MARKS_FROM_CELLS = 3  # points get a mark of their own while they are this far apart

# what a letter of a row's style string is drawn as
KINDS = {
    "1": "line-chart--first",
    "2": "line-chart--second",
    "a": "line-chart--axis",
    "n": "line-chart--number",
    "t": "line-chart--title",
    "x": "line-chart--bad",
}


class Row(NamedTuple):
    """A row of cells: its characters and, cell by cell, the letter of their style."""

    text: str
    kinds: str


class Scale(NamedTuple):
    """How values become pixel rows."""

    low: float
    high: float
    rows: int  # pixel rows
    log: bool

    def row(self, value: float) -> int:
        """The pixel row of a value, 0 at the top, kept on the canvas."""
        place = (self._at(value) - self._at(self.low)) / (self._at(self.high) - self._at(self.low))
        return min(self.rows - 1, max(0, round((1 - place) * (self.rows - 1))))

    def _at(self, value: float) -> float:
        return math.log10(max(value, self.low)) if self.log else value


class LineChart(Widget):
    """Curves over steps, with their newest values above."""

    COMPONENT_CLASSES = set(KINDS.values())
    DEFAULT_CSS = """
    LineChart {
        min-height: 6;
        & > .line-chart--first { color: $teal; }
        & > .line-chart--second { color: $bright; }
        & > .line-chart--axis { color: $frame; }
        & > .line-chart--number { color: $muted; }
        & > .line-chart--title { color: $foreground; text-style: bold; }
        & > .line-chart--bad { color: $red; text-style: bold; }
        &.-blue > .line-chart--first { color: $blue; }
    }
    """

    log_axis: reactive[bool] = reactive(False)

    def __init__(
        self,
        *names: str,
        empty: str = "no steps yet",
        from_zero: bool = False,
        ascii_only: bool = False,
        id: str | None = None,  # noqa: A002 - Textual's own word
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._names = names
        self._points = [Points() for _ in names]
        self._empty = empty
        self._from_zero = from_zero  # for what is measured in parts of a whole, like speed
        self._ascii = ascii_only
        self._rows: list[Row] = []
        self._styles: dict[str, Style] = {}

    def show(self, *curves: Sequence[tuple[float, float]], empty: str | None = None) -> None:
        """Takes the curves anew, in the order of the names; x rises.

        Cheap for a list that was shown before: it may have been appended to, and not changed.
        """
        for points, curve in zip(self._points, curves, strict=True):
            points.replace(curve)
        self._empty = self._empty if empty is None else empty
        self._update()

    def extend(self, *curves: Iterable[tuple[float, float]]) -> None:
        """Appends to the curves."""
        for points, curve in zip(self._points, curves, strict=True):
            points.extend(curve)
        self._update()

    def watch_log_axis(self) -> None:
        self._update()

    def on_resize(self) -> None:
        self._rows = self._drawn()
        self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()

    def render_line(self, y: int) -> Strip:
        if y >= len(self._rows):
            return Strip.blank(self.size.width, self.rich_style)
        if not self._styles:
            base = self.rich_style
            self._styles = {
                kind: base + self.get_component_rich_style(name, partial=True)
                for kind, name in KINDS.items()
            }
            self._styles[" "] = base
        row, at, segments = self._rows[y], 0, []
        for kind, cells in groupby(row.kinds):
            length = sum(1 for _ in cells)
            segments.append(Segment(row.text[at : at + length], self._styles.get(kind)))
            at += length
        return Strip(segments, at)

    def _update(self) -> None:
        """Draws anew and repaints what differs."""
        if not self.is_attached or not self.size:
            return
        old, self._rows = self._rows, self._drawn()
        if len(old) != len(self._rows):
            self.refresh()
            return
        changed = [
            Region(span[0], y, span[1] - span[0], 1)
            for y, (before, after) in enumerate(zip(old, self._rows, strict=True))
            if (span := _changed_span(before, after))
        ]
        if changed:
            self.refresh(*changed)

    def _drawn(self) -> list[Row]:
        """Every row of the widget."""
        width, height = self.size.width, self.size.height
        rows = height - TITLE_ROWS - AXIS_ROWS
        if width < 12 or rows < 2:
            return [_row(width, self._title()) for _ in range(min(height, 1))]
        scale = self._scale(rows * 4)
        if scale is None:
            return [_row(width, self._title()), *_middle(width, height - 1, self._empty)]
        most = max(2, min(6, rows // 2))
        marks = (log_ticks if scale.log else ticks)(scale.low, scale.high, most)
        names = {scale.row(value) // 4: text for value, text in self._labels(marks)}
        margin = max(len(text) for text in names.values()) + 1
        canvas = self._canvas(width - margin - 1, rows, scale)
        bar = "|" if self._ascii else "│"
        body = []
        for y in range(rows):
            text, owners = canvas.row(y, self._ascii)
            label = names.get(y, "").rjust(margin - 1) + " "
            body.append(Row(label + bar + text, "n" * margin + "a" + owners))
        return [_row(width, self._title()), *body, *self._foot(width, margin)]

    def _scale(self, rows: int) -> Scale | None:
        """The range of all curves with a little air; None while no value is finite."""
        low = min(points.low for points in self._points)
        high = max(points.high for points in self._points)
        positive = min(points.low_positive for points in self._points)
        if not low <= high:
            return None
        if self.log_axis and positive <= high:
            even = high <= positive
            return Scale(positive / 2 if even else positive, high * 2 if even else high, rows, True)
        if self._from_zero:
            low, high = min(0.0, low), max(high, 0.0)
        if low == high:
            air = abs(low) / 2 or 0.5
            return Scale(low - air, high + air, rows, False)
        return Scale(*rounded(low, high, rows // 12 + 1), rows, False)

    def _labels(self, values: list[float]) -> list[tuple[float, str]]:
        return list(zip(values, labels(values), strict=True))

    def _canvas(self, width: int, rows: int, scale: Scale) -> Canvas:
        canvas = Canvas(width, rows)
        start, end = self._range()
        curves = list(zip(OWNERS, self._points, strict=False))
        for owner, points in reversed(curves):  # the first curve lies over the second
            for stretch in points.columns(start, end, width * 2):
                self._draw_stretch(canvas, stretch, scale, owner)
        for owner, points in curves[1:]:
            self._draw_marks(canvas, points, scale, owner)
        return canvas

    def _draw_stretch(self, canvas: Canvas, stretch: list, scale: Scale, owner: str) -> None:
        before: tuple[int, int] | None = None  # column and row where the last one left off
        for column, (low, high, first, last) in stretch:
            if before is not None:
                canvas.line(*before, column, scale.row(first), owner)
            canvas.vertical(column, scale.row(high), scale.row(low), owner)
            before = (column, scale.row(last))

    def _draw_marks(self, canvas: Canvas, points: Points, scale: Scale, owner: str) -> None:
        """A mark on every point of a sparse curve, so that it differs by more than its colour."""
        if len(points) * MARKS_FROM_CELLS > canvas.width:
            return
        start, end = self._range()
        to_column = (canvas.width * 2 - 1) / (end - start) if end > start else 0.0
        for x, y in points.marks():
            column = round((x - start) * to_column)
            canvas.mark(column, scale.row(y), "o" if self._ascii else "•", owner)

    def _range(self) -> tuple[float, float]:
        """First and last step of all curves."""
        filled = [points for points in self._points if len(points)]
        start = min((points.first_x for points in filled), default=0.0)
        return min(start, 0.0 if start < 2 else start), max((p.last_x for p in filled), default=0.0)

    def _title(self) -> list[tuple[str, str]]:
        parts = [("", "t")]
        for owner, name, points in zip(OWNERS, self._names, self._points, strict=False):
            if parts[-1][0]:
                parts.append(("   ", "t"))
            mark = "" if owner == "1" else "o " if self._ascii else "• "
            last = points.last
            bad = last is not None and not math.isfinite(last)
            parts += [(mark, owner), (f"{name} ", "t"), (short(last), "x" if bad else owner)]
        if self.log_axis:
            parts.append(("   log", "n"))
        return parts

    def _foot(self, width: int, margin: int) -> list[Row]:
        start, end = self._range()
        corner, line = ("+", "-") if self._ascii else ("└", "─")
        axis = " " * margin + corner + line * (width - margin - 1)
        left, right = f"{start:,.0f}", f"step {end:,.0f}"
        gap = width - margin - 1 - len(left) - len(right)
        steps = " " * (margin + 1) + (left + " " * gap if gap > 0 else "") + right
        return [Row(axis, "a" * width), _row(width, [(steps, "n")])]


def _row(width: int, parts: list[tuple[str, str]]) -> Row:
    text = "".join(part for part, _ in parts)
    kinds = "".join(kind * len(part) for part, kind in parts)
    return Row(text[:width].ljust(width), kinds[:width].ljust(width))


def _middle(width: int, height: int, text: str) -> list[Row]:
    """Blank rows with a sentence in the middle of them."""
    rows = [Row(" " * width, " " * width)] * height
    if height:
        rows[height // 2] = Row(text[:width].center(width), "n" * width)
    return rows


def _changed_span(before: Row, after: Row) -> tuple[int, int] | None:
    """First and behind the last cell that differs; None when the rows are equal."""
    if before == after:
        return None
    width = len(after.text)
    if len(before.text) != width:
        return 0, width
    differs = [
        index
        for index in range(width)
        if before.text[index] != after.text[index] or before.kinds[index] != after.kinds[index]
    ]
    return differs[0], differs[-1] + 1
