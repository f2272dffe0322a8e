"""Rows side by side in bins."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import Dataset

from core.data.analysis.packing import packed_bins
from core.train.loader.packing import fill_bins, pack

CHATS = np.clip(np.random.default_rng(3).lognormal(4.2, 0.8, 4000), 1, 512).astype("int64")


@pytest.mark.parametrize("lengths", [CHATS, CHATS[:7], np.array([512, 512]), np.array([1])])
def test_no_bin_overflows_and_none_is_left_empty(lengths: np.ndarray) -> None:
    bins = fill_bins(lengths, 512)
    filled = np.bincount(bins, lengths)
    assert filled.min() > 0 and filled.max() <= 512
    assert len(filled) == packed_bins(np.bincount(lengths), 512)  # as the Data pane counts them


def test_bins_of_chats_are_nearly_full() -> None:
    from trl.data_utils import pack_dataset

    rows = Dataset.from_dict({"input_ids": [[1] * length for length in CHATS]})
    ours, theirs = pack(rows, 512), pack_dataset(rows, 512, "bfd")
    assert CHATS.sum() / (len(ours) * 512) > 0.99
    assert len(ours) <= len(theirs)


def test_each_row_lies_whole_in_one_bin_with_its_labels() -> None:
    ids = [[row] * int(length) for row, length in enumerate(CHATS[:500])]
    labels = [[-100] + one[1:] for one in ids]
    packed = pack(Dataset.from_dict({"input_ids": ids, "labels": labels}), 512)
    found = []
    for example in packed.to_list():
        place = 0
        for length in example["seq_lengths"]:
            span = slice(place, place + length)
            found.append((example["input_ids"][span], example["labels"][span]))
            place += length
        assert place == len(example["input_ids"]) == len(example["labels"])
    assert sorted(found) == sorted(zip(ids, labels, strict=True))
