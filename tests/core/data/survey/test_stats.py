"""Token statistics: exact numbers at every moment."""

from __future__ import annotations

from core.data.encode.encoder import Encoding
from core.data.survey.stats import TokenStats


def encoding(tokens: int, supervised: int, cut: int = 0) -> Encoding:
    flags = [False] * (tokens - supervised) + [True] * supervised
    return Encoding([1] * tokens, flags, "", [(0, 0)] * tokens, [], cut, [])


def test_the_numbers_are_exact_after_each_row() -> None:
    stats = TokenStats()
    for length in range(1, 101):
        stats.add(encoding(length, length // 2))
    found = stats.snapshot()
    assert (found["p50"], found["p95"], found["p99"], found["max"]) == (50, 95, 99, 100)
    assert (found["rows"], found["tokens"], found["supervised_tokens"]) == (100, 5050, 2500)
    assert found["supervised_share"] == 2500 / 5050
    assert sum(found["histogram"]) == 100
    stats.add(encoding(64, 1, cut=136))
    later = stats.snapshot()
    assert (later["max"], later["truncated"], later["truncated_tokens"]) == (200, 1, 136)
    assert later["tokens"] == 5050 + 64
    assert later["histogram"][-1] == 1


def test_rows_without_tokens_are_counted_apart() -> None:
    stats = TokenStats()
    assert stats.snapshot()["p50"] == 0
    stats.add(encoding(0, 0))
    found = stats.snapshot()
    assert (found["rows"], found["empty"], found["max"], sum(found["histogram"])) == (1, 1, 0, 0)
