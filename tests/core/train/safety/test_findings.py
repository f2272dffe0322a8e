"""Rules over curves, in words."""

from __future__ import annotations

from core.train.progress import Progress
from core.train.safety.findings import overfitting, worse_than_base

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
