"""What a live chart costs: milliseconds and bytes for a frame, as Textual writes it to a terminal.

    python -m benchmarks.chart [--points 5000] [--frames 200]

One point is added before every frame. A frame is drawing the curve, painting what changed and
encoding it; bytes are what would travel over SSH.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import statistics
import time

from rich.console import Console
from textual.app import App, ComposeResult

from tui.theme import THEME
from tui.widgets.line_chart import LineChart

SIZE = (100, 30)
CONSOLE = Console(color_system="256", force_terminal=True, width=SIZE[0], height=SIZE[1])


class ChartApp(App[None]):
    """One chart over the whole terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.register_theme(THEME)
        self.theme = THEME.name

    def compose(self) -> ComposeResult:
        yield LineChart("loss", "eval")


def curve(count: int) -> list[tuple[int, float]]:
    noise = random.Random(1)
    return [
        (step, 0.9 + 2.4 * math.exp(-5 * step / count) + noise.gauss(0, 0.05))
        for step in range(count)
    ]


async def measure(count: int, frames: int) -> tuple[list[float], list[int]]:
    """Milliseconds and bytes of each frame."""
    app = ChartApp()
    points = curve(count + frames)
    milliseconds, sizes = [], []
    async with app.run_test(size=SIZE) as pilot:
        chart = app.query_one(LineChart)
        chart.show(points[:count], points[: count : count // 10])
        await pilot.pause()
        for frame in range(frames):
            begin = time.process_time()
            chart.extend([points[count + frame]], [])
            text = painted(app, chart)
            milliseconds.append((time.process_time() - begin) * 1000)
            sizes.append(len(text.encode()))
            await pilot.pause()
    return milliseconds, sizes


def painted(app: App, chart: LineChart) -> str:
    """What is written to a terminal of 256 colours for the regions of the chart that changed."""
    compositor = app.screen._compositor  # the way of Screen._on_timer_update
    compositor.update_widgets({chart})
    update = compositor.render_update(screen_stack=[])
    return "" if update is None else update.render_segments(CONSOLE)  # type: ignore[attr-defined]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=5000)
    parser.add_argument("--frames", type=int, default=200)
    options = parser.parse_args()
    milliseconds, sizes = asyncio.run(measure(options.points, options.frames))
    print(f"{options.points:,} points, {SIZE[0]}x{SIZE[1]} cells, {options.frames} frames")
    print(f"  {statistics.median(milliseconds):.2f} ms of CPU a frame (median)")
    print(f"  {statistics.mean(sizes):,.0f} bytes a frame (mean)")


if __name__ == "__main__":
    main()
