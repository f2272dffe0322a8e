"""Some rows of every tensor tell rounding from another tensor, and a scale through the rounding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from exporters.contract import Excerpt
from exporters.parity.weights import weigh

RNG = np.random.default_rng(0)
BASE = RNG.normal(size=(6, 16, 256)).astype(np.float32)
TUNED = BASE + 0.05 * RNG.normal(size=BASE.shape).astype(np.float32)


def rounded(values: np.ndarray, bits: int) -> np.ndarray:
    step = 5.0 / 2**bits
    return np.round(values / step) * step


def excerpts(found: Sequence[np.ndarray | None], bits: int = 4) -> Iterator[Excerpt]:
    for place, rows in enumerate(found):
        yield Excerpt(f"blk.{place}", bits, TUNED[place], BASE[place], rows)


@pytest.mark.parametrize("bits", [8, 4, 3, 2])
def test_rounding_is_no_fault_at_any_number_of_bits(bits: int) -> None:
    found = weigh(excerpts([rounded(rows, bits) for rows in TUNED], bits), lambda: None)
    assert (found.tensors, found.off) == (6, 0)
    assert found.carried == pytest.approx(1.0, abs=0.12)


@pytest.mark.parametrize("bits", [8, 2])
def test_a_tensor_in_anothers_place_is_named(bits: int) -> None:
    there = [rounded(rows, bits) for rows in TUNED]
    there[2], there[4] = there[4], there[2]
    found = weigh(excerpts(there, bits), lambda: None)
    assert (found.off, found.first_off) == (2, "blk.2")
    assert found.first_error == pytest.approx(2**0.5, rel=0.1)


@pytest.mark.parametrize("scale", [0.0, 2.0])
def test_a_scale_shows_through_two_bits(scale: float) -> None:
    there = [rounded(b + scale * (t - b), 2) for b, t in zip(BASE, TUNED, strict=True)]
    found = weigh(excerpts(list(there), 2), lambda: None)
    assert found.off == 0
    assert found.carried == pytest.approx(scale, abs=0.15)


def test_a_tensor_that_is_missing_or_not_a_number_is_off() -> None:
    there: list[np.ndarray | None] = [*TUNED]
    there[1], there[3] = None, np.full_like(TUNED[3], np.nan)
    assert weigh(excerpts(there), lambda: None).off == 2
