"""Token statistics: exact numbers at every moment, and what a max_length would cost."""

from __future__ import annotations

import numpy as np
import pytest

from core.data.analysis.packing import packed_bins
from core.data.analysis.row_facts import Facts, Shard
from core.data.analysis.stats import Batches, token_stats, whole_stats
from core.data.files.rows import Span


def facts_of(rows: list[tuple[int, int, int]]) -> Facts:
    """Facts with (tokens, supervised, truncated) of each row."""
    facts = Facts(len(rows))
    add(facts, rows)
    return facts


def add(facts: Facts, rows: list[tuple[int, int, int]]) -> None:
    names = ("tokens", "supervised", "truncated")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    columns["kept"] = tuple(length - cut for length, _, cut in rows)
    data = {name: np.array(values, "u4").tobytes() for name, values in columns.items()}
    facts.add_tokens(Shard(facts.encoded, len(rows), data, []))


def test_the_numbers_are_exact_after_each_step() -> None:
    facts = Facts(101)
    add(facts, [(length, length // 2, 0) for length in range(1, 101)])
    found = token_stats(facts)
    assert (found["p50"], found["p95"], found["p99"], found["max"]) == (50, 95, 99, 100)
    assert (found["rows"], found["tokens"], found["supervised_tokens"]) == (100, 5050, 2500)
    assert found["supervised_share"] == 2500 / 5050
    assert sum(found["histogram"]) == 100
    add(facts, [(200, 1, 136)])
    later = token_stats(facts)
    assert (later["max"], later["truncated"], later["truncated_tokens"]) == (200, 1, 136)
    assert later["tokens"] == 5050 + 64
    assert later["histogram"][-1] == 1


def test_rows_without_tokens_are_counted_apart() -> None:
    assert token_stats(Facts(1))["p50"] == 0
    found = token_stats(facts_of([(0, 0, 0)]))
    assert (found["rows"], found["empty"], found["max"], sum(found["histogram"])) == (1, 1, 0, 0)


def test_each_max_length_tells_what_it_cuts_and_what_padding_would_take() -> None:
    facts = facts_of([(100, 50, 0), (300, 50, 0)])
    lengths = {item["max_length"]: item for item in whole_stats(facts, Batches(rows=2))["lengths"]}
    assert (lengths[128]["rows_cut"], lengths[128]["tokens_lost"]) == (1, 172)
    assert lengths[128]["padding_share"] == pytest.approx(28 / 256)
    assert (lengths[512]["rows_cut"], lengths[512]["tokens_lost"]) == (0, 0)
    assert lengths[512]["padding_share"] == pytest.approx(200 / 600)
    assert (lengths[512]["packed_rows"], lengths[512]["packing_efficiency"]) == (1, 400 / 512)
    assert lengths[512]["steps_per_epoch"] == 1


def test_an_epoch_sees_each_row_as_often_as_its_weight_says() -> None:
    facts = facts_of([(100, 50, 0)] * 4)
    batches = Batches(rows=2, weights=(Span(0, 2, 0.5), Span(2, 4, 3.0)))
    epoch = whole_stats(facts, batches)["epoch"]
    assert (epoch["rows"], epoch["tokens"], epoch["steps"]) == (7, 700, 4)


def test_as_many_bins_are_counted_as_the_trainer_packs() -> None:
    from datasets import Dataset
    from trl.data_utils import pack_dataset

    random = np.random.default_rng(3)
    for size in (16, 100):
        lengths = random.integers(1, size + 1, 300)
        rows = Dataset.from_dict({"input_ids": [[1] * int(length) for length in lengths]})
        packed = pack_dataset(rows, seq_length=size, strategy="bfd")
        assert packed_bins(np.bincount(lengths, minlength=size + 1), size) == len(packed)
