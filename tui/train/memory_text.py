"""The memory of a step in bars, estimated or measured; and a probe while it is at work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from core.config import Config
from core.data.escape import visible
from core.figures import short, size
from tui.theme import (
    AMBER,
    BLUE,
    GREEN,
    RED,
    SECONDARY,
    TEAL,
    TEXT,
    YELLOW,
    Symbols,
)

if TYPE_CHECKING:
    from core.plan.plan import Plan
    from core.plan.probe_result import Point, Probe
    from tui.train.probe_poller import ProbeState

PART_CELLS = 20
SIZE_CELLS = 10
MOST_FIXES = 5
# parts of the memory that are drawn as one
PARTS = (
    ("weights", ("weights",), BLUE),
    ("adapter + optimizer", ("adapter", "gradients", "optimizer"), AMBER),
    ("activations", ("activations",), TEAL),
    ("logits", ("logits",), YELLOW),
)


def memory_text(plan: Plan, config: Config, symbols: Symbols, width: int) -> Text:
    """The memory of a step by what it is for, each part with its bar, and whether it fits."""
    rows = config.train.per_device_train_batch_size
    how = "measured" if plan.probe else "estimated"
    text = Text(f"memory, {how} at {rows} {symbols.times} {config.data.max_length:,} tokens\n")
    text.stylize(SECONDARY)
    sizes = [(label, _sum(plan, names), colour) for label, names, colour in PARTS]
    most = max(bytes_ for _, bytes_, _ in sizes)
    cells = max(0, width - PART_CELLS - SIZE_CELLS - 3)
    for label, bytes_, colour in sizes:
        text.append(f" {label.ljust(PART_CELLS)}", TEXT)
        text.append(size(bytes_).rjust(SIZE_CELLS - 1), TEXT).append(" ")
        filled = max(1, round(cells * bytes_ / most)) if bytes_ and most else 0
        text.append(f"{symbols.full * min(filled, cells)}\n", colour)
    free = plan.probe.free_bytes if plan.probe else plan.memory_free_bytes
    text.append(f" {'total'.ljust(PART_CELLS)}", f"bold {TEXT}")
    text.append(f"{size(plan.peak_bytes)} of {size(free)}  ", f"bold {TEXT}")
    return text.append(f"{plan.verdict}\n", f"bold {GREEN if plan.fits else RED}")


def fixes_text(probe: Probe, fix_key: str) -> Text:
    """What the probe says: what didn't fit, the ways to less memory, the key for them."""
    text = Text()
    if probe.words:
        text.append(f"{visible(probe.words)}\n", YELLOW)
    if not probe.fixes:
        return text
    text.append("ways to less memory  ", SECONDARY).append(fix_key, f"bold {AMBER}")
    text.append(" takes one\n", SECONDARY)
    for fix in probe.fixes[:MOST_FIXES]:
        how = "measured" if fix.measured else "estimated"
        text.append(f" saves {size(fix.saves_bytes).rjust(9)} ", TEXT)
        text.append(f"{how.ljust(10)}", SECONDARY).append(f"{visible(fix.words)}\n", TEXT)
    return text


def probe_text(state: ProbeState, symbols: Symbols) -> Text:
    """A probe that is at work: what it does, and what it has measured; or why there is none."""
    if state.failure:
        text = Text(f"{symbols.problem} ", RED).append("the probe failed: ", f"bold {RED}")
        return text.append(f"{visible(state.failure)}\n\n", TEXT)
    text = Text(f"{symbols.live} ", GREEN).append("probe ", f"bold {TEXT}")
    text.append(visible(state.phase, newlines=False), TEXT).append("   esc", f"bold {AMBER}")
    text.append(" cancels\n", SECONDARY)
    return text.append_text(points_text(state.points, symbols)).append("\n")


def points_text(points: Sequence[Point], symbols: Symbols) -> Text:
    """A line for each batch that was measured: rows and tokens, peak, seconds of a step."""
    text = Text()
    for point in points:
        rows = f"{point.micro_batch} {symbols.times} {point.tokens // point.micro_batch:,} tokens"
        text.append(f" {rows.ljust(PART_CELLS)}", TEXT)
        text.append(size(point.peak_bytes).rjust(SIZE_CELLS - 1), TEXT)
        text.append(f"  {short(point.step_s)} s a step\n", SECONDARY)
    return text


def _sum(plan: Plan, names: Sequence[str]) -> int:
    return sum(getattr(plan.memory, name) for name in names)
