"""Round numbers for an axis, and how they are written beside it."""

from __future__ import annotations

import math

from core.figures import exponent


def spacing(span: float, most: int) -> float:
    """The smallest round number that goes into the span at most so many times."""
    raw = span / max(1, most)
    power = 10.0 ** math.floor(math.log10(raw))
    return next(f * power for f in (1, 2, 5, 10) if f * power >= raw * (1 - 1e-9))


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) in the range, about `most`."""
    if not high > low:
        return [low]
    step = spacing(high - low, most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)] or [low]


def rounded(low: float, high: float, most: int) -> tuple[float, float]:
    """The range, stretched to the next round value at an end that is nearly there."""
    step = spacing(high - low, most)
    below, above = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    near = (high - low) / 12
    return below if low - below <= near else low, above if above - high <= near else high


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """1, 2 and 5 times powers of ten in the range, thinned to powers where they are too many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [
            factor * 10.0**power
            for power in range(first, last + 1)
            for factor in factors
            if low * (1 - 1e-9) <= factor * 10.0**power <= high * (1 + 1e-9)
        ]
        if len(found) <= most:
            return found if len(found) >= 2 else ticks(low, high, most)
    step = math.ceil(len(found) / most)
    return found[::step]


def labels(values: list[float]) -> list[str]:
    """The values with the same number of digits, as few as tell them apart."""
    biggest = max((abs(value) for value in values), default=0.0)
    if biggest and (biggest < 0.01 or biggest >= 1e6):
        return [exponent(value) for value in values]
    if biggest >= 1e4:
        return [f"{value / 1e3:g}k" if value else "0" for value in values]
    for digits in range(7):
        if all(abs(round(value, digits) - value) <= abs(value) * 1e-6 for value in values):
            return [f"{value:,.{digits}f}" for value in values]
    return [f"{value:.3g}" for value in values]
