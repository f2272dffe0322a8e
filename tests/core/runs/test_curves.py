"""Curves out of events, resumed runs included."""

from __future__ import annotations

import math

from core.runs.curves import curve, last


def step(number: int, loss: object) -> dict[str, object]:
    return {"kind": "step", "step": number, "loss": loss}


def test_a_curve_is_one_value_a_step_in_order() -> None:
    events = [step(1, 3.0), {"kind": "eval", "step": 1, "eval_loss": 9.0}, step(2, 2.0)]
    assert curve(events, "step", "loss") == [(1, 3.0), (2, 2.0)]
    assert curve(events, "eval", "eval_loss") == [(1, 9.0)]


def test_steps_that_a_resumed_run_goes_over_again_count_once() -> None:
    events = [step(1, 3.0), step(2, 2.0), step(3, 1.0), step(2, 2.5), step(3, 1.5), step(4, 1.0)]
    assert curve(events, "step", "loss") == [(1, 3.0), (2, 2.5), (3, 1.5), (4, 1.0)]


def test_steps_that_a_resumed_run_has_still_before_it_are_not_shown() -> None:
    events = [step(1, 3.0), step(2, 2.0), step(3, 1.0), step(2, 2.5)]
    assert curve(events, "step", "loss") == [(1, 3.0), (2, 2.5)]


def test_values_that_are_no_numbers_come_as_floats_and_absent_ones_are_left_out() -> None:
    points = curve([step(1, "nan"), step(2, None), {"kind": "step", "loss": 1.0}], "step", "loss")
    assert [at for at, _ in points] == [1]
    assert math.isnan(points[0][1])


def test_the_newest_event_of_a_kind() -> None:
    events = [step(1, 3.0), step(2, 2.0), {"kind": "state"}]
    assert last(events, "step") == step(2, 2.0)
    assert last(events, "result") is None
