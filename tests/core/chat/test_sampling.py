"""The next token: which ones can be drawn, how often, and that a seed repeats."""

from __future__ import annotations

import numpy as np
import pytest

from core.chat.protocol import Sampling
from core.chat.sampling import Sampler
from core.errors import AfinaError

HALVES = np.log(np.array([0.1, 0.5, 0.25, 0.15], dtype=np.float32))


def drawn(sampling: Sampling, logits: np.ndarray = HALVES, times: int = 2000) -> np.ndarray:
    sampler = Sampler(sampling)
    return np.array([sampler.pick(logits) for _ in range(times)])


def test_temperature_zero_takes_the_likeliest() -> None:
    assert set(drawn(Sampling(temperature=0), times=10)) == {1}


def test_tokens_come_as_often_as_they_are_likely() -> None:
    counts = np.bincount(drawn(Sampling(temperature=1, top_p=1.0), times=20_000)) / 20_000
    np.testing.assert_allclose(counts, [0.1, 0.5, 0.25, 0.15], atol=0.02)


def test_temperature_flattens() -> None:
    counts = np.bincount(drawn(Sampling(temperature=2, top_p=1.0), times=20_000)) / 20_000
    wanted = np.sqrt([0.1, 0.5, 0.25, 0.15])
    np.testing.assert_allclose(counts, wanted / wanted.sum(), atol=0.02)


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.4, {1}), (0.6, {1, 2}), (0.8, {1, 2, 3}), (0.99, {0, 1, 2, 3})]
)
def test_top_p_keeps_the_fewest_tokens_that_reach_it(top_p: float, kept: set[int]) -> None:
    assert set(drawn(Sampling(temperature=1, top_p=top_p))) == kept


def test_top_k_keeps_that_many() -> None:
    assert set(drawn(Sampling(temperature=1, top_p=1.0, top_k=2))) == {1, 2}


def test_top_p_is_a_share_of_what_top_k_leaves() -> None:
    # of 0.5 and 0.25 the first has two thirds
    assert set(drawn(Sampling(temperature=1, top_p=0.6, top_k=2))) == {1}


def test_the_nucleus_is_found_whatever_share_the_likeliest_have() -> None:
    # one token with half of the weight, and a long tail far below it with the other half
    tail = np.full(100_000, -np.log(100_000), dtype=np.float32)
    logits = np.concatenate([[np.float32(0)], tail])
    assert set(drawn(Sampling(temperature=1, top_p=0.4), logits, times=50)) == {0}
    found = drawn(Sampling(temperature=1, top_p=0.75), logits, times=400)
    assert (found == 0).mean() == pytest.approx(2 / 3, abs=0.1)
    assert 40_000 < found.max() < 50_001


def test_a_seed_repeats() -> None:
    sampling = Sampling(temperature=1, seed=3)
    assert (drawn(sampling, times=50) == drawn(sampling, times=50)).all()


def test_logits_that_are_not_numbers_are_refused() -> None:
    broken = HALVES.copy()
    broken[2] = np.nan
    with pytest.raises(AfinaError, match="not a number"):
        Sampler(Sampling()).pick(broken)
