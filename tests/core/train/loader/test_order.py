"""The order of rows that are padded."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import Dataset
from torch.utils.data import BatchSampler

from core.train.loader.sampler import LengthSampler, Longest, filled_share, lengths_of

LENGTHS = np.random.default_rng(1).lognormal(4.2, 0.8, 1003).astype("int64") + 1


def batches(sampler: LengthSampler, epoch: int) -> list[list[int]]:
    sampler.set_epoch(epoch)
    return list(BatchSampler(sampler, sampler.batch_rows, drop_last=False))


def test_every_row_comes_once_and_the_longest_in_the_first_batch() -> None:
    for epoch in range(3):
        order = batches(LengthSampler(LENGTHS, 8, 5), epoch)
        assert sorted(row for batch in order for row in batch) == list(range(1003))
        assert LENGTHS[order[0]].max() == LENGTHS.max()
        assert [len(batch) for batch in order] == [8] * 125 + [3]


def test_the_order_follows_from_seed_and_epoch() -> None:
    first = batches(LengthSampler(LENGTHS, 8, 5), 1)
    assert batches(LengthSampler(LENGTHS, 8, 5), 1) == first
    assert batches(LengthSampler(LENGTHS, 8, 6), 1) != first
    other = batches(LengthSampler(LENGTHS, 8, 5), 2)
    together = {frozenset(batch) for batch in first} & {frozenset(batch) for batch in other}
    assert len(together) < 5  # the batches are others, not only their order


def test_long_and_short_batches_are_mixed_over_an_epoch() -> None:
    order = batches(LengthSampler(LENGTHS, 8, 5), 0)
    means = np.array([LENGTHS[batch].mean() for batch in order])
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.25


def test_rows_of_like_length_leave_little_padding() -> None:
    rows = Dataset.from_dict({"input_ids": [[1] * length for length in LENGTHS]})
    alike = filled_share(rows, list(LengthSampler(LENGTHS, 8, 5)), 8)
    random = filled_share(rows, np.random.default_rng(0).permutation(1003), 8)
    assert random < 0.6
    assert alike > 0.85


def test_fewer_rows_than_a_batch_make_one() -> None:
    assert [sorted(batch) for batch in batches(LengthSampler([5, 2, 9], 8, 5), 0)] == [[0, 1, 2]]


def test_a_pair_is_as_long_as_its_longer_side() -> None:
    pairs = {"input_ids": [[1, 1], [1]], "rejected_input_ids": [[1], [1, 1, 1]]}
    rows = Dataset.from_dict(pairs)
    assert lengths_of(rows).tolist() == [2, 3]
    assert list(Longest(lengths_of(rows))) == [1, 0]
    assert filled_share(rows, [0, 1], 1) == pytest.approx(7 / 10)
    assert filled_share(rows, [0, 1], 2) == pytest.approx(7 / 12)
