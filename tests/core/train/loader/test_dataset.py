"""From data files to encoded rows: mixtures, and what is held out of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from core.config import Config
from core.data.encode.encoder import encode_rows
from core.data.recipe import Recipe
from core.errors import AfinaError
from core.plan.plan import look_at_data
from core.train.loader import dataset
from core.train.loader.dataset import Encoded
from core.train.loader.rows import Rows
from tests.core.train.conftest import Configure, chat_rows, write_rows


def load(config: Config) -> Encoded:
    return dataset.load(config, Recipe.of(config).encoder(), lambda done, total: None)


def times_seen(rows: Rows) -> Counter[tuple[int, ...]]:
    """How often each sequence of ids is there."""
    seen: Counter[tuple[int, ...]] = Counter()
    start = 0
    for length in rows.lengths:
        seen[tuple(rows.ids[start : start + length])] += 1
        start += length
    return seen


@pytest.fixture
def mixed(configure: Configure, tmp_path: Path) -> Config:
    """Twenty rows once, ten of another file twice, and half of ten more."""
    rows = chat_rows(40)
    parts = {"one": rows[:20], "two": rows[20:30], "three": rows[30:]}
    one, two, three = (write_rows(tmp_path / f"{name}.jsonl", parts[name]) for name in parts)
    mix = f"data.mix={{'{two}': 2, '{three}': 0.5}}"
    return configure(f"data.path={one}", mix, "data.eval_fraction=0")


def test_rows_of_a_mixture_are_seen_by_their_weights(mixed: Config) -> None:
    encoded = load(mixed)
    assert Counter(times_seen(encoded.train).values()) == {1: 25, 2: 10}
    assert (encoded.rows, encoded.train.left_out) == (45, 0)


def test_the_plan_counts_rows_as_often_as_they_are_seen(mixed: Config) -> None:
    encoded, facts = load(mixed), look_at_data(mixed)
    assert facts.rows == encoded.rows
    assert facts.tokens == pytest.approx(encoded.tokens, rel=0.05)


def test_no_row_that_is_held_out_is_trained_on_whatever_its_weight(
    configure: Configure, tmp_path: Path
) -> None:
    rows = chat_rows(30)
    first = write_rows(tmp_path / "first.jsonl", rows)
    second = write_rows(tmp_path / "second.jsonl", rows[10:])  # copies of the first
    mix = f"data.mix={{'{second}': 3}}"
    encoded = load(configure(f"data.path={first}", mix, "data.eval_fraction=0.3"))
    held_out, trained = times_seen(encoded.evaluation), times_seen(encoded.train)
    assert held_out and not held_out.keys() & trained.keys()
    assert set(trained.values()) == {1, 4}
    assert set(held_out.values()) <= {1, 2}


@pytest.mark.parametrize("streaming", ["false", "true"])
def test_the_held_out_rows_that_are_named_are_those_that_a_run_evaluates_on(
    configure: Configure, tmp_path: Path, streaming: str
) -> None:
    rows = chat_rows(30)
    first = write_rows(tmp_path / "first.jsonl", rows[:20])
    mix = f"data.mix={{'{write_rows(tmp_path / 'second.jsonl', rows[20:])}': 1}}"
    words = (mix, "data.eval_fraction=0.3", f"data.streaming={streaming}")
    config = configure(f"data.path={first}", *words)
    recipe = Recipe.of(config)
    with dataset.open_rows(config) as source:
        reader = recipe.reader(source)
        named = dataset.held_out_rows(config, source, reader)
        ids = [item.ids for item in encode_rows(source, reader, recipe.encoder(), named)]
    assert len(ids) == 9
    assert times_seen(load(config).evaluation) == Counter(map(tuple, ids))


def test_rows_that_an_objective_can_not_take_are_told(configure: Configure) -> None:
    with pytest.raises(AfinaError, match='shape "chat" can\'t be trained on by dpo'):
        load(configure("train.objective=dpo"))
