"""The tabs of the Runs pane: curves, samples, findings, log, configuration, checkpoints."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import ContentSwitcher

from core.events import Event
from core.figures import duration, short, size
from tui.runs.blocks import (
    CHECKPOINT_COLUMNS,
    FEW_CHECKPOINT_COLUMNS,
    CheckpointRows,
    config_blocks,
    finding_blocks,
    sample_blocks,
)
from tui.runs.confusion import ConfusionRows, confusion_facts
from tui.runs.text import progress
from tui.runs.view import Detail, RunView
from tui.theme import AMBER, SECONDARY, UNICODE, Symbols
from tui.widgets.frame import Frame
from tui.widgets.line_chart import LineChart
from tui.widgets.live_text import LiveText
from tui.widgets.log_view import LogView
from tui.widgets.row_list import Column, RowList

TABS = {
    "curves": "Curves",
    "samples": "Samples",
    "classes": "Classes",  # of a classifier, which answers no prompts
    "findings": "Findings",
    "log": "Log",
    "config": "Config",
    "checkpoints": "Checkpoints",
}
TALL = 34  # rows of the terminal from which a narrow one shows two charts, one above the other
SECOND_CHARTS = {
    "learning_rate": "learning rate",
    "tokens_per_s": "tokens/s",
    "grad_norm": "grad norm",
}
FRAME_CELLS = 4  # a frame's sides and its padding
ROOMY = 64  # cells of a tab from which the checkpoints show their size
CHART_ROWS = 8  # a chart in the right frame needs so many


class RunTabs(Horizontal):
    """Two frames: the loss at the left, the chosen tab at the right; in a narrow room one."""

    DEFAULT_CSS = Path(__file__).with_suffix(".tcss").read_text(encoding="utf-8")

    def __init__(self, symbols: Symbols, **options) -> None:  # noqa: ANN003
        super().__init__(**options)
        self._symbols = symbols
        self._ascii = symbols is not UNICODE
        self._tab = "curves"
        self._view: RunView | None = None
        self._detail: Detail | None = None
        self._sample_steps: list[int] = []
        self._sample_at: int | None = None  # None: the newest evaluation, also when one comes
        self._checkpoints = CheckpointRows()
        self._confusion = ConfusionRows()

    def compose(self) -> ComposeResult:
        with Frame(id="runs-loss"):
            yield LineChart("loss", "eval", ascii_only=self._ascii, id="chart-loss")
        with Frame(id="runs-tab"), ContentSwitcher(initial="tab-curves"):
            with Vertical(id="tab-curves"):
                for name, title in SECOND_CHARTS.items():
                    yield LineChart(
                        title,
                        from_zero=True,
                        ascii_only=self._ascii,
                        id=f"chart-{name}",
                        classes="-blue",
                    )
            yield LiveText(symbols=self._symbols, follow=False, id="tab-samples")
            yield RowList([Column("class", 0)], id="tab-classes")
            yield LiveText(symbols=self._symbols, follow=False, id="tab-findings")
            yield LogView(symbols=self._symbols, id="tab-log")
            yield LiveText(symbols=self._symbols, follow=False, id="tab-config")
            yield RowList(CHECKPOINT_COLUMNS, open_label="chat", id="tab-checkpoints")

    def on_mount(self) -> None:
        self.query_one("#tab-checkpoints", RowList).rows = self._checkpoints
        self.query_one("#tab-classes", RowList).rows = self._confusion
        self._arrange()

    def on_resize(self) -> None:
        self._arrange()

    @property
    def tab(self) -> str:
        return self._tab

    def open_tab(self, tab: str) -> None:
        """Shows a tab; the focus follows where it was in the old one."""
        inside = self.has_focus_within
        self._tab = tab
        self.query_one(ContentSwitcher).current = f"tab-{tab}"
        self._arrange()
        self._fill()
        if inside and tab != "curves":
            self.query_one(f"#tab-{tab}").focus(scroll_visible=False)

    def move_tab(self, by: int) -> None:
        names = self._names()
        self.open_tab(names[(names.index(self._tab) + by) % len(names)])

    def _names(self) -> list[str]:
        """The tabs that this run has."""
        classifies = self._view is not None and self._view.objective == "classification"
        return [name for name in TABS if name != ("samples" if classifies else "classes")]

    def move_sample(self, by: int) -> None:
        """To the evaluation before or after; the newest one is followed from then on."""
        newest = len(self._sample_steps) - 1
        at = newest if self._sample_at is None else self._sample_at
        at = max(0, min(newest, at + by))
        self._sample_at = None if at >= newest else at
        self._fill_samples()

    def toggle_log_axis(self) -> bool:
        """Logarithmic loss or not; returns what it is now."""
        chart = self.query_one("#chart-loss", LineChart)
        chart.log_axis = not chart.log_axis
        return chart.log_axis

    def show(self, view: RunView | None, detail: Detail | None) -> None:
        """Draws a run. The detail may be of the run before, while the new one's is being read."""
        if view is None or self._view is None or view.id != self._view.id:
            self._sample_at = None
        self._view = view
        self._detail = detail if view is not None and detail and detail.id == view.id else None
        if self._tab not in self._names():
            self.open_tab("classes" if self._tab == "samples" else "samples")
        self._fill()

    def _arrange(self) -> None:
        """Which frames are there, for the room that there is."""
        wide = self.app.size.width >= 120
        tall = self.app.size.height >= TALL
        curves = self._tab == "curves"
        self.query_one("#runs-loss").display = wide or curves
        self.query_one("#runs-tab").display = wide or tall or not curves
        self.set_class(not wide, "-stacked")
        rows = self.size.height // (1 if wide else 2) - 2  # inside the frame
        for index, name in enumerate(SECOND_CHARTS):
            chart = self.query_one(f"#chart-{name}", LineChart)
            chart.display = index == 0 or rows >= (index + 1) * CHART_ROWS
        self._titles()

    def _titles(self) -> None:
        view = self._view
        loss, tab = self.query_one("#runs-loss", Frame), self.query_one("#runs-tab", Frame)
        alone = loss.display != tab.display
        names = _tab_names(self._names(), self._tab)
        loss.border_title = names if alone else Text(view.name if view else "Curves")
        tab.border_title = names
        facts = run_facts(view, self._symbols, self.app.size.width >= 120)
        loss.set_facts(facts)
        tab.set_facts(self._tab_facts() or (view.name if view and alone else ""))

    def _tab_facts(self) -> str:
        dot = f" {self._symbols.dot} "
        if self._tab == "samples" and self._sample_steps:
            at = len(self._sample_steps) if self._sample_at is None else self._sample_at + 1
            step = self._sample_steps[at - 1]
            return f"step {step}{dot}evaluation {at} of {len(self._sample_steps)}{dot}[ ] others"
        if self._tab == "classes" and self._detail:
            return confusion_facts(self._detail.confusion, dot)
        if self._tab == "checkpoints" and self._checkpoints.rows:
            known = [row.bytes for row in self._checkpoints.rows if row.bytes is not None]
            return f"{len(self._checkpoints.rows)}{dot}{size(sum(known))}"
        return ""

    def _fill(self) -> None:
        """Hands the detail to the widgets that are seen; the others get theirs when opened."""
        detail = self._detail
        empty = "reading" if self._view and not detail else self._why_empty()
        self._fill_curves(detail.curves if detail else {}, empty)
        if self._tab == "samples":
            self._fill_samples()
        elif self._tab == "log":
            log = detail.log if detail else []
            self.query_one(LogView).show_lines(log or ["Nothing was printed yet."])
        elif self._tab == "config":
            self.query_one("#tab-config", LiveText).blocks(config_blocks(detail))
        elif self._tab == "findings":
            found = finding_blocks(detail.findings if detail else [])
            self.query_one("#tab-findings", LiveText).blocks(found)
        elif self._tab == "classes":
            self._fill_classes()
        elif self._tab == "checkpoints":
            self._fill_checkpoints()
        self._titles()

    def _fill_curves(self, curves: dict, empty: str) -> None:
        loss = self.query_one("#chart-loss", LineChart)
        if loss.display:
            loss.show(curves.get("loss", []), curves.get("eval", []), empty=empty)
        for name in SECOND_CHARTS if self._tab == "curves" else ():
            chart = self.query_one(f"#chart-{name}", LineChart)
            if chart.display:
                chart.show(curves.get(name, []), empty="")

    @property
    def _tab_cells(self) -> int:
        """Cells inside the tab's frame, also before it is laid out."""
        return self.size.width // (2 if self.app.size.width >= 120 else 1) - FRAME_CELLS

    def _fill_classes(self) -> None:
        rows = self.query_one("#tab-classes", RowList)
        confusion = self._detail.confusion if self._detail else None
        rows.columns = self._confusion.show(confusion, self._tab_cells)
        rows.rows_changed()

    def _fill_checkpoints(self) -> None:
        rows = self.query_one("#tab-checkpoints", RowList)
        roomy = self._tab_cells >= ROOMY
        columns = CHECKPOINT_COLUMNS if roomy else FEW_CHECKPOINT_COLUMNS
        rows.columns = self._checkpoints.columns = columns
        self._checkpoints.rows = self._detail.checkpoints if self._detail else []
        self._checkpoints.best = self._view.best_step if self._view else None
        rows.rows_changed()

    def _fill_samples(self) -> None:
        samples = self._detail.samples if self._detail else []
        by_step: dict[int, list[Event]] = {}
        for sample in samples:
            by_step.setdefault(int(sample.get("step") or 0), []).append(sample)
        self._sample_steps = sorted(by_step)
        if self._sample_steps:
            at = -1 if self._sample_at is None else self._sample_at
            rows = by_step[self._sample_steps[at]]
        else:
            rows = []
        self.query_one("#tab-samples", LiveText).blocks(sample_blocks(rows))
        self._titles()

    def _why_empty(self) -> str:
        view = self._view
        if view is None:
            return ""
        return view.phase or (
            "no step yet" if view.state != "failed" else "it failed before a step"
        )


def run_facts(view: RunView | None, symbols: Symbols, roomy: bool) -> str:
    """The facts under the curves: 31.2k tok/s · 1.2M tokens · 8 min left."""
    if view is None:
        return ""
    facts = [f"step {progress(view)}"] if view.steps else []
    if view.tokens_per_s is not None:
        facts.append(f"{short(view.tokens_per_s)} tok/s")
    if roomy and view.mfu is not None:
        facts.append(f"MFU {view.mfu:.0%}")
    if roomy and view.data_wait is not None:
        facts.append(f"data wait {view.data_wait:.1%}")
    if view.tokens is not None:
        facts.append(f"{short(float(view.tokens))} tokens")
    if view.eta_s is not None and view.state == "running":
        facts.append(f"{duration(view.eta_s)} left")
    return f" {symbols.dot} ".join(facts)


def _tab_names(names: list[str], current: str) -> Text:
    """The tabs in the frame's title, where you are in amber."""
    parts: list[tuple[str, str]] = []
    for name in names:
        style = f"bold {AMBER}" if name == current else f"not bold {SECONDARY}"
        parts += [("  ", "")] if parts else []
        parts.append((TABS[name], style))
    return Text.assemble(*parts)
