"""Splits: seeded, complete, exact, and copies of a row never on both sides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.files.source import open_source
from core.data.shapes.read import Reader
from core.data.split import split_keys, split_source
from core.errors import AfinaError


@given(
    st.lists(st.integers(0, 30), max_size=80),
    st.floats(0.0, 0.99),
    st.integers(-5, 5),
)
def test_every_row_is_on_one_side_with_all_its_copies(
    keys: list[int], fraction: float, seed: int
) -> None:
    split = split_keys(keys, fraction, seed)
    train, held = list(split.train), list(split.eval)
    assert sorted(train + held) == list(range(len(keys)))
    assert not {keys[index] for index in train} & {keys[index] for index in held}
    assert train == sorted(train)
    assert held == sorted(held)
    again = split_keys(keys, fraction, seed)
    assert (list(again.train), list(again.eval)) == (train, held)


def test_eval_gets_its_fraction_and_never_nothing() -> None:
    assert len(split_keys(range(420), 0.1).eval) == 42
    assert len(split_keys(range(5), 0.01).eval) == 1
    assert len(split_keys(range(5), 0.0).eval) == 0
    assert len(split_keys([7, 7, 7], 0.5).eval) == 0
    assert list(split_keys(range(50), 0.2, seed=1).eval) != list(split_keys(range(50), 0.2).eval)


def test_the_side_of_a_row_does_not_depend_on_its_place() -> None:
    keys = list(range(100))
    there = {keys[index] for index in split_keys(keys, 0.2).eval}
    back = keys[::-1]
    assert {back[index] for index in split_keys(back, 0.2).eval} == there


def test_rows_that_say_the_same_stay_together(write_rows: Callable[..., Path]) -> None:
    rows = [{"text": f"text {n % 20}" + " " * (n // 20)} for n in range(40)]
    source = open_source(write_rows(rows))
    split = split_source(source, Reader("text"), 0.2)
    assert len(split.eval) == 8
    assert {index % 20 for index in split.eval}.isdisjoint({index % 20 for index in split.train})


def test_a_fraction_outside_of_0_to_1_is_refused() -> None:
    for fraction in (-0.1, 1.0):
        with pytest.raises(AfinaError, match="eval_fraction"):
            split_keys([1, 2], fraction)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), max_size=60),
    st.floats(0.0, 0.5),
)
def test_classes_are_parted_completely_and_eval_is_never_too_large(
    rows: list[tuple[int, int]], fraction: float
) -> None:
    keys, classes = [key for key, _ in rows], [code for _, code in rows]
    split = split_keys(keys, fraction, 7, classes)
    assert sorted([*split.train, *split.eval]) == list(range(len(rows)))
    assert not {keys[index] for index in split.train} & {keys[index] for index in split.eval}
    assert len(split.eval) <= max(1, round(fraction * len(rows)))


def test_a_rare_class_is_on_both_sides_and_a_single_row_is_learned_from() -> None:
    classes = [0] * 94 + [1] * 3 + [2] * 2 + [3]
    split = split_keys(range(100), 0.1, 1, classes)
    held = [classes[index] for index in split.eval]
    assert len(held) == 10
    assert [held.count(code) for code in range(4)] == [8, 1, 1, 0]
    half = [classes[index] for index in split_keys(range(100), 0.5, 1, classes).eval]
    assert len(half) == 50 and 3 not in half


def test_too_many_rare_classes_leave_eval_its_fraction() -> None:
    classes = [index // 2 for index in range(100)]
    assert len(split_keys(range(100), 0.1, 1, classes).eval) == 10


@pytest.mark.parametrize("shape", ["classification", "kto"])
def test_rows_with_classes_or_verdicts_give_each_its_share(
    shape: str, write_rows: Callable[..., Path]
) -> None:
    rare = range(0, 100, 20)
    if shape == "kto":
        rows = [{"prompt": f"Q{n}", "completion": "A", "label": n in rare} for n in range(100)]
    else:
        rows = [{"text": f"T{n}", "label": int(n in rare)} for n in range(100)]
    held = split_source(open_source(write_rows(rows)), Reader(shape), 0.2).eval
    assert len(held) == 20
    assert sum(index in rare for index in held) == 1
