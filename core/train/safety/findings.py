"""What the curves say, in words: rules over losses, without any trainer."""

from __future__ import annotations

import msgspec

RISES = 3  # evaluations in a row


class Finding(msgspec.Struct, frozen=True):
    """One thing worth telling, with what to do about it."""

    severity: str  # "error", "warning" or "note"
    message: str
    hint: str = ""


class Diverged(Exception):
    """A loss or a gradient that is not a number; the step must not be saved."""

    def __init__(self, step: int, what: str, value: float) -> None:
        super().__init__(f"{what} is {value} at step {step}")
        self.step, self.what, self.value = step, what, value


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


def _mean_before(losses: list[tuple[int, float]], step: int, count: int = 10) -> float | None:
    """Mean of the last `count` losses up to a step."""
    values = [loss for at, loss in losses if at <= step][-count:]
    return sum(values) / len(values) if values else None
