"""The course of the learning rate: warmup, then what lr_scheduler_type says. Loads no torch.

A rate is never zero: the first step of the warmup takes its share of the peak, and the last step
of a fall takes what one more step would have brought to zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from core.config import Config


def course(config: Config, steps: int) -> Callable[[int], float]:
    """The share of the peak that each step takes, counted from 0, in a run of so many steps."""
    train = config.train
    warmup = warmup_steps(config, steps)
    falling = falling_steps(config, steps)
    fall = _FALLS[train.lr_scheduler_type]

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        passed = (step - (steps - falling)) / max(1, falling)  # 0 where the fall begins
        return fall(min(max(passed, 0.0), 1.0))

    return share


def warmup_steps(config: Config, steps: int) -> int:
    """Steps below the peak before it is reached; the last step at the latest takes the peak."""
    if config.train.lr_scheduler_type == "constant":
        return 0
    return min(math.ceil(config.train.warmup_ratio * steps), max(0, steps - 1))


def falling_steps(config: Config, steps: int) -> int:
    """Steps at the end in which the rate falls, if its course has a fall."""
    most = steps - warmup_steps(config, steps)
    if config.train.lr_scheduler_type != "wsd":
        return most
    return min(most, max(1, round(config.train.decay_ratio * steps)))


_FALLS: dict[str, Callable[[float], float]] = {
    "cosine": lambda passed: 0.5 * (1 + math.cos(math.pi * passed)),
    "linear": lambda passed: 1 - passed,
    "constant": lambda passed: 1.0,
    "constant_with_warmup": lambda passed: 1.0,
    # the fall that left the lowest losses beside the linear one (arXiv 2405.18392, 4)
    "wsd": lambda passed: 1 - math.sqrt(passed),
}
