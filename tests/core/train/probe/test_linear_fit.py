"""The line through measured batches."""

from __future__ import annotations

from core.plan.probe_result import Point
from core.train.probe.linear_fit import Line


def point(rows: int, size: int) -> Point:
    return Point(rows, 100 * rows, size, 1.0, size + 7)


def test_the_largest_batch_follows_from_two_points() -> None:
    line = Line.through([point(2, 1_200), point(4, 1_400)])
    assert line is not None
    assert line.peak(8) == 1_800
    assert line.most_rows(2_007, most=999) == 10
    assert line.most_rows(2_007, most=6) == 6
    assert line.most_rows(1_050, most=999) is None


def test_one_point_makes_no_line_and_memory_that_does_not_grow_no_limit() -> None:
    assert Line.through([point(2, 1_200)]) is None
    flat = Line.through([point(1, 1_200), point(2, 1_190)])
    assert flat is not None and flat.most_rows(5_000, most=33) == 33
