"""How often rows are seen: whole passes, seeded shares, and rows that were held out."""

from __future__ import annotations

import pytest

from core.data.files.rows import Span
from core.train.loader.mixture import draw, repeats


def seen(weights: list[float], seed: int = 1) -> list[dict[int, int]]:
    """What becomes of ten rows under each weight: {row: times}."""
    spans = [Span(10 * n, 10 * n + 10, weight) for n, weight in enumerate(weights)]
    drawn = draw(range(10 * len(weights)), spans, seed)
    times = dict(zip(drawn.rows, drawn.times or [1] * len(drawn.rows), strict=True))
    return [{r: times[r] for r in range(s.start, s.end) if r in times} for s in spans]


def test_without_weights_every_row_is_seen_once() -> None:
    drawn = draw(range(4), [Span(0, 4, 1.0)], 7)
    assert (list(drawn.rows), len(drawn), drawn.times) == ([0, 1, 2, 3], 4, None)


def test_a_weight_is_how_often_each_row_is_seen() -> None:
    once, twice, half, more = seen([1.0, 2.0, 0.5, 1.3])
    assert set(once.values()) == {1}
    assert set(twice.values()) == {2} and len(twice) == 10
    assert len(half) == 5 and set(half.values()) == {1}
    assert sorted(more.values()) == [1] * 7 + [2] * 3


def test_a_share_follows_from_the_seed() -> None:
    assert seen([0.5]) == seen([0.5])
    assert seen([0.5]) != seen([0.5], seed=2)


def test_a_file_with_a_small_weight_is_not_left_out() -> None:
    assert len(seen([0.001])[0]) == 1


def test_rows_that_are_held_out_are_not_drawn() -> None:
    drawn = draw([0, 2, 3, 11, 12], [Span(0, 10, 2.0), Span(10, 20, 0.5)], 1)
    assert list(drawn.rows)[:3] == [0, 2, 3]
    assert list(drawn.rows)[3] in (11, 12)
    assert len(drawn) == 7


@pytest.mark.parametrize(("weight", "epochs"), [(0.5, 2), (0.25, 4), (1.5, 2)])
def test_the_shares_of_epochs_make_the_whole(weight: float, epochs: int) -> None:
    seen = [repeats(20, weight, (3,), epoch).tolist() for epoch in range(epochs)]
    assert {sum(times) for times in zip(*seen, strict=True)} == {round(weight * epochs)}
