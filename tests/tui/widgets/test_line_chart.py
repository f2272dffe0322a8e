"""The chart: what is drawn where, and that only what changed is painted."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import asynccontextmanager

import pytest
from textual.app import App, ComposeResult
from textual.geometry import Region

from tests.tui.pilots import lines_of
from tui.theme import THEME
from tui.widgets.axis import labels, log_ticks, rounded, ticks
from tui.widgets.braille import Canvas
from tui.widgets.line_chart import LineChart
from tui.widgets.points import Points

NAN = math.nan


class ChartApp(App[None]):
    def __init__(self, chart: LineChart) -> None:
        super().__init__()
        self.register_theme(THEME)
        self.theme = "afina"
        self.chart = chart

    def compose(self) -> ComposeResult:
        yield self.chart


@asynccontextmanager
async def shown(chart: LineChart, size: tuple[int, int] = (40, 12)) -> Iterator:  # type: ignore[misc]
    app = ChartApp(chart)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield app, pilot


def test_pixels_become_the_dots_of_braille() -> None:
    canvas = Canvas(2, 1)
    canvas.vertical(0, 0, 3, "1")
    canvas.vertical(3, 2, 2, "2")
    assert canvas.row(0) == ("⡇⠠", "12")


def test_a_line_between_two_pixels_has_no_hole() -> None:
    canvas = Canvas(4, 4)
    canvas.line(0, 15, 7, 0, "1")
    rows = [canvas.row(y)[0] for y in range(4)]
    dots = {
        (x, y)
        for y in range(16)
        for x in range(8)
        if ord(rows[y // 4][x // 2].replace(" ", "⠀"))
        & [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]][x & 1][y & 3]
    }
    assert {x for x, _ in dots} == set(range(8))
    assert {y for _, y in dots} == set(range(16))


def test_ticks_are_round_numbers_in_the_range() -> None:
    assert ticks(0.7, 3.3, 6) == pytest.approx([1.0, 1.5, 2.0, 2.5, 3.0])
    assert labels(ticks(0.0, 2e-4, 4)) == ["0", "5e-5", "1e-4", "1.5e-4", "2e-4"]
    assert log_ticks(0.01, 100.0, 5) == pytest.approx([0.01, 0.1, 1.0, 10.0, 100.0])
    assert labels([0.0, 10_000.0, 20_000.0]) == ["0", "10k", "20k"]


def test_a_range_is_stretched_only_to_a_round_number_that_is_near() -> None:
    assert rounded(0.02, 1.99, 4) == pytest.approx((0.0, 2.0))
    assert rounded(0.3, 1.7, 2) == pytest.approx((0.3, 1.7))


async def test_the_newest_values_stand_above_and_the_steps_below() -> None:
    chart = LineChart("loss", "eval")
    async with shown(chart) as (app, pilot):
        chart.show([(1, 3.0), (412, 0.94)], [(360, 1.03)])
        await pilot.pause()
        lines = lines_of(app)
    assert lines[0].split() == ["loss", "0.94", "•", "eval", "1.03"]
    assert lines[-1].split() == ["0", "step", "412"]
    assert lines[-2].strip().startswith("└──")


async def test_a_falling_curve_runs_from_the_upper_left_to_the_lower_right() -> None:
    chart = LineChart("loss")
    async with shown(chart) as (app, pilot):
        chart.show([(step, 100.0 - step) for step in range(101)])
        await pilot.pause()
        body = [line.partition("│")[2] for line in lines_of(app)[1:-2]]
    first = [next(i for i, letter in enumerate(line) if letter != " ") for line in body]
    assert first == sorted(first)
    assert first[0] == 0
    assert body[-1].rstrip()[-1] != " " and len(body[-1].rstrip()) == len(body[-1])


async def test_a_single_point_is_drawn() -> None:
    chart = LineChart("loss")
    async with shown(chart) as (app, pilot):
        chart.show([(1, 2.5)])
        await pilot.pause()
        body = "".join(line.partition("│")[2] for line in lines_of(app)[1:-2])
    assert sum(letter != " " for letter in body) == 1


async def test_without_points_it_says_why() -> None:
    chart = LineChart("loss", empty="loading model")
    async with shown(chart) as (app, pilot):
        chart.show([])
        await pilot.pause()
        assert any("loading model" in line for line in lines_of(app))


async def test_nan_breaks_the_curve_and_stands_in_the_title() -> None:
    chart = LineChart("loss")
    async with shown(chart, (30, 12)) as (app, pilot):
        chart.show([(x, NAN if 40 <= x < 60 or x == 100 else 1.0) for x in range(101)])
        await pilot.pause()
        lines = lines_of(app)
    assert lines[0].split() == ["loss", "nan"]
    drawn = next(row for line in lines[1:-2] if (row := line.partition("│")[2]).strip())
    assert len(drawn.split()) == 2


async def test_eval_points_are_told_apart_by_a_mark() -> None:
    chart = LineChart("loss", "eval")
    async with shown(chart) as (app, pilot):
        chart.show([(x, 5.0) for x in range(100)], [(20, 1.0), (40, 1.0), (60, 1.0)])
        await pilot.pause()
        body = "".join(line.partition("│")[2] for line in lines_of(app)[1:-2])
    assert body.count("•") == 3


async def test_ascii_draws_with_ascii_only() -> None:
    chart = LineChart("loss", "eval", ascii_only=True)
    async with shown(chart) as (app, pilot):
        chart.show([(x, math.sin(x / 10)) for x in range(100)], [(50, 0.5)])
        await pilot.pause()
        text = "\n".join(lines_of(app))
    assert text.isascii()
    assert "o" in text and "'" in text and "." in text


async def test_a_log_axis_shows_powers_of_ten_evenly() -> None:
    chart = LineChart("loss")
    async with shown(chart, (40, 20)) as (app, pilot):
        chart.show([(0, 100.0), (1, 0.01)])
        chart.log_axis = True
        await pilot.pause()
        lines = lines_of(app)
    rows = [y for y, line in enumerate(lines) if line.strip()[:1].isdigit() and "│" in line]
    gaps = {later - earlier for earlier, later in zip(rows, rows[1:], strict=False)}
    assert "log" in lines[0]
    assert max(gaps) - min(gaps) <= 1


async def test_one_more_point_repaints_little(monkeypatch: pytest.MonkeyPatch) -> None:
    chart = LineChart("loss")
    points = [(x, 1.0 + math.exp(-x / 500)) for x in range(5000)]
    async with shown(chart, (100, 30)) as (_, pilot):
        chart.show(points)
        await pilot.pause()
        painted: list[Region] = []
        monkeypatch.setattr(chart, "refresh", lambda *regions: painted.extend(regions))
        chart.show([*points, (5000, 1.0)])
    assert painted
    assert sum(region.area for region in painted) < 100 * 30 / 10


def test_blocks_keep_every_extreme_of_100_000_points() -> None:
    points = Points((x, 1.0) for x in range(100_000))
    spiky = Points((x, 50.0 if x == 77_777 else 1.0) for x in range(100_000))
    assert points.high == 1.0
    (stretch,) = spiky.columns(0, 99_999, 200)
    assert len(stretch) == 200
    assert max(extremes[1] for _, extremes in stretch) == 50.0
    column = next(column for column, extremes in stretch if extremes[1] == 50.0)
    assert column == pytest.approx(77_777 / 99_999 * 199, abs=1)


def test_a_list_that_grew_is_appended_and_another_list_replaces() -> None:
    points, curve = Points(), [(1, 3.0), (2, NAN)]
    points.replace(curve)
    curve.append((3, 1.0))
    points.replace(curve)
    assert (len(points), points.last, points.low) == (3, 1.0, 1.0)
    points.replace([(1, 9.0)])
    assert (len(points), points.last, points.low, points.high) == (1, 9.0, 9.0, 9.0)
