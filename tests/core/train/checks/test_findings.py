"""Rules over curves, in words."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from core.train.checkpoint.progress import Progress
from core.train.checks import findings
from core.train.checks.findings import Diverged, overfitting, worse_than_base

FALLING = [(step, 3.0 - step / 100) for step in range(1, 201)]


def test_eval_loss_that_rises_while_train_loss_falls_is_overfitting() -> None:
    evaluations = [(0, 3.0), (20, 2.5), (40, 2.2), (60, 2.3), (80, 2.4), (100, 2.5)]
    finding = overfitting(evaluations, [p for p in FALLING if p[0] <= 100])
    assert finding is not None
    assert "overfitting since step 40; best is step 40" in finding.message
    assert "run@40" in finding.hint


def test_it_is_said_once_for_a_rise() -> None:
    evaluations = [(20, 2.2), (40, 2.3), (60, 2.4), (80, 2.5), (100, 2.6)]
    assert overfitting(evaluations[:4], FALLING[:80]) is not None
    assert overfitting(evaluations, FALLING[:100]) is None


def test_two_rises_are_not_enough() -> None:
    assert overfitting([(20, 2.2), (40, 2.3), (60, 2.4)], FALLING) is None


def test_a_train_loss_that_rises_too_is_not_overfitting() -> None:
    rising = [(step, 1.0 + step / 100) for step in range(1, 101)]
    assert overfitting([(40, 2.2), (60, 2.3), (80, 2.4), (100, 2.5)], rising) is None


def test_a_run_that_ends_worse_than_it_began_is_told() -> None:
    finding = worse_than_base([(0, 2.0), (10, 1.8), (20, 2.4)])
    assert finding is not None
    assert "2.400 after step 20 and was 2.000" in finding.message
    assert worse_than_base([(0, 2.0), (10, 1.8)]) is None
    assert worse_than_base([]) is None


def test_a_result_whose_rounding_undoes_what_was_learned_is_told() -> None:
    finding = findings.lost_in_saving(7.540, 7.508, 7.517)
    assert finding is not None
    assert "28% of what was learned" in finding.message
    assert findings.lost_in_saving(7.540, 3.508, 3.517) is None
    assert findings.lost_in_saving(None, 3.508, 3.517) is None
    assert findings.lost_in_saving(3.0, 3.1, 3.5) is None  # nothing was learned


def test_the_evaluation_before_training_is_never_the_best() -> None:
    progress = Progress()
    assert not progress.add_evaluation(0, 1.0)
    assert progress.add_evaluation(10, 2.0)
    assert not progress.add_evaluation(20, 2.0)
    assert (progress.best_step, progress.evaluations_since_best) == (10, 1)
    assert progress.add_evaluation(30, 1.9)
    assert (progress.best_step, progress.evaluations_since_best) == (30, 0)


def test_progress_travels_through_a_manifest() -> None:
    progress = Progress(dtype="bfloat16")
    progress.add_step(1.5, 100, 0.25)
    progress.add_evaluation(1, 1.25)
    assert Progress.from_values(progress.to_values()) == progress
    assert progress.tokens_per_s == 400


def noisy(values: Sequence[float], start: int = 1) -> list[tuple[int, float]]:
    return list(enumerate(values, start))


def test_a_spike_is_told_by_how_many_medians_it_has() -> None:
    usual = [2.0 + 0.01 * (step % 3) for step in range(20)]
    found = findings.spike(noisy([*usual, 8.04]))
    assert found is not None
    assert "spiked to 8.040 at step 21, 4.0 times the median" in found.message
    assert findings.spike(noisy([*usual, 5.0])) is None
    assert findings.spike(noisy([*usual[:19], 50.0])) is None, "too few steps before it"


def test_a_loss_near_zero_may_jump_by_factors() -> None:
    usual = [0.002] * 20
    assert findings.spike(noisy([*usual, 0.02])) is None
    assert findings.times_the_median(noisy([*usual, 0.02])) == pytest.approx(10)
    assert findings.times_the_median(noisy([0.0] * 21)) is None


def test_a_spike_began_where_the_loss_left_the_usual() -> None:
    usual = [2.0] * 20
    assert findings.began_to_spike(noisy([*usual, 2.1, 5.0, 6.0, 11.0]), 5.0) == 22
    assert findings.began_to_spike(noisy([*usual, 11.0]), 5.0) == 21


@pytest.mark.parametrize(
    ("what", "after"), [("loss", 11), ("gradient", 12), ("eval loss", 12), ('weight "a"', 12)]
)
def test_weights_are_good_whose_next_loss_was(what: str, after: int) -> None:
    assert Diverged(13, what, float("nan")).after == after


def test_a_loss_that_stays_where_it_is_is_a_plateau() -> None:
    flat = noisy([2.0 + 0.1 * ((step * 7) % 5) for step in range(200)])
    found = findings.plateau(flat, 1000)
    assert found is not None and found.severity == "note"
    assert "has not fallen for 200 steps" in found.message and "1,000 are to come" in found.message
    assert findings.plateau(flat, 100) is None, "the end is near"
    assert findings.plateau(flat[:-1], 1000) is None, "it looks once each 200 steps"
    falling = noisy([2.0 - 0.004 * step + 0.1 * ((step * 7) % 5) for step in range(200)])
    assert findings.plateau(falling, 1000) is None
