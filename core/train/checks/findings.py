"""What the curves say, in words: rules over losses, without any trainer."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from core.runs.finding import Finding

RISES = 3  # evaluations in a row
SPIKE_STEPS = 20  # steps that a loss is compared with
SPIKE = 3.0  # times their median: worth telling
SPIKE_LEAST = 0.2  # above their median: a loss near zero jumps by factors and means nothing
SPIKE_EVERY_STEPS = 50  # between two tellings
FLAT_STEPS = 200
FLAT_SHARE = 0.005  # of the loss: a smaller fall over FLAT_STEPS is none
Losses = Sequence[tuple[int, float]]  # (step, loss) by step
LOST_SHARE = 0.1  # of what was learned: more that rounding takes is worth telling
STARVED_SHARE = 0.1  # of the training time: more waiting for batches is worth telling


class Diverged(Exception):
    """A loss or a gradient that is no number, or a loss far above the others: not to be saved."""

    def __init__(self, step: int, what: str, value: float, than: str = "") -> None:
        """than: what a value that is a number is too much for, as "4 times the median of ..."."""
        super().__init__(f"{what} is {value} at step {step}")
        self.step, self.what, self.value, self.than = step, what, value, than

    @property
    def sentence(self) -> str:
        if self.than:
            return f"The {self.what} is {self.value:.4g} at step {self.step}: {self.than}."
        return f"The {self.what} is {self.value} at step {self.step}."

    @property
    def after(self) -> int:
        """The newest step whose weights are known to be good: they gave a usual loss since.

        The loss of a step is that of the weights before it, so a bad one puts these in doubt too.
        """
        return self.step - (2 if self.what == "loss" else 1)


def times_the_median(losses: Losses) -> float | None:
    """The last loss in medians of the SPIKE_STEPS before it; None while these are too few."""
    if len(losses) <= SPIKE_STEPS:
        return None
    before = [loss for _, loss in losses[-SPIKE_STEPS - 1 : -1]]
    median = statistics.median(before)
    return losses[-1][1] / median if median > 0 else None


def spike(losses: Losses) -> Finding | None:
    """A loss far above those before it."""
    times = times_the_median(losses)
    if times is None or times < SPIKE or not math.isfinite(times):
        return None
    step, loss = losses[-1]
    if loss - loss / times < SPIKE_LEAST:
        return None
    return Finding(
        "warning",
        f"The loss spiked to {loss:.3f} at step {step}, {times:.1f} times the median of the "
        f"{SPIKE_STEPS} steps before.",
        "A smaller train.learning_rate or more warmup usually helps; train.spike_factor and "
        "train.on_divergence=rollback go back by themselves.",
    )


def began_to_spike(losses: Losses, factor: float) -> int:
    """The first step of the rise that ends in the last loss, which is `factor` medians high.

    Above the median times the root of the factor a loss is on its way up, not one of the usual.
    """
    before = [loss for _, loss in losses[-SPIKE_STEPS - 1 : -1]]
    usual = statistics.median(before) * math.sqrt(factor)
    first = len(losses) - 1
    while first > 0 and losses[first - 1][1] > usual:
        first -= 1
    return losses[first][0]


def plateau(losses: Losses, steps_left: int) -> Finding | None:
    """A train loss that FLAT_STEPS steps have not brought down, while as many are to come.

    Looks once each FLAT_STEPS.
    """
    if len(losses) < FLAT_STEPS or steps_left < FLAT_STEPS or losses[-1][0] % FLAT_STEPS:
        return None
    values = [loss for _, loss in losses[-FLAT_STEPS:]]
    half = FLAT_STEPS // 2
    earlier, later = values[:half], values[half:]
    fall = statistics.fmean(earlier) - statistics.fmean(later)
    noise = math.sqrt((statistics.pvariance(earlier) + statistics.pvariance(later)) / half)
    if fall > max(noise, FLAT_SHARE * abs(statistics.fmean(earlier))):
        return None
    return Finding(
        "note",
        f"The train loss has not fallen for {FLAT_STEPS} steps: it is "
        f"{statistics.fmean(later):.3f} at step {losses[-1][0]}, and {steps_left:,} are to come.",
        "Stop here if the eval loss is flat too; else a higher train.learning_rate or more data "
        "may help.",
    )


def overfitting(
    evaluations: list[tuple[int, float]], losses: list[tuple[int, float]]
) -> Finding | None:
    """Eval loss that rose RISES times in a row while the train loss fell.

    Both lists hold (step, loss) by step. Speaks once for a rise: at its RISES-th evaluation.
    """
    tail = evaluations[-(RISES + 1) :]
    if len(tail) <= RISES or any(
        later[1] <= earlier[1] for earlier, later in zip(tail, tail[1:], strict=False)
    ):
        return None
    if len(evaluations) > RISES + 1 and evaluations[-RISES - 1][1] > evaluations[-RISES - 2][1]:
        return None  # it rose before, and was said then
    since, now = tail[0][0], tail[-1][0]
    before, after = _mean_before(losses, since), _mean_before(losses, now)
    if before is None or after is None or after >= before:
        return None
    best = min(evaluations, key=lambda pair: pair[1])[0]
    return Finding(
        "warning",
        f"Eval loss has risen for {RISES} evaluations while train loss fell: "
        f"overfitting since step {since}; best is step {best}.",
        f"Use run@{best}, or train for fewer epochs.",
    )


def worse_than_base(evaluations: list[tuple[int, float]]) -> Finding | None:
    """A run whose last evaluation is worse than the one before its first step."""
    if len(evaluations) < 2 or evaluations[0][0] != 0:
        return None
    start, (step, end) = evaluations[0][1], evaluations[-1]
    if end <= start:
        return None
    return Finding(
        "warning",
        f"Eval loss is {end:.3f} after step {step} and was {start:.3f} before training.",
        "Try a smaller train.learning_rate, or look at the data.",
    )


def lost_in_saving(before: float | None, reported: float, saved: float) -> Finding | None:
    """A result whose rounding undid a good part of what was learned: losses on the same rows.

    before: the eval loss before the first step; None where it was not measured.
    """
    if before is None or before <= reported or saved - reported <= LOST_SHARE * (before - reported):
        return None
    return Finding(
        "warning",
        f"Saved as bfloat16 the loss is {saved:.4f}, and it was {reported:.4f}: the rounding takes "
        f"{(saved - reported) / (before - reported):.0%} of what was learned.",
        "Small steps don't show in bfloat16: raise train.learning_rate, train for longer, or set "
        "model.dtype to float32.",
    )


def _mean_before(losses: list[tuple[int, float]], step: int, count: int = 10) -> float | None:
    """Mean of the last `count` losses up to a step."""
    values = [loss for at, loss in losses if at <= step][-count:]
    return sum(values) / len(values) if values else None


def starved(wait_share: float | None) -> Finding | None:
    """That the device stood still for want of data."""
    if wait_share is None or wait_share <= STARVED_SHARE:
        return None
    return Finding(
        "warning",
        f"The device waited for data in {wait_share:.0%} of the training time.",
        "Put the rows on a faster disk, give the run more processor cores, or, where they fit "
        "into memory, set data.streaming=false.",
    )
