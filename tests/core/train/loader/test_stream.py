"""Rows that are read while the run goes on: their order, their packing, and where a run goes on."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from core.config import Config
from core.data.files.rows import Span
from core.data.files.source import open_source
from core.data.recipe import Recipe
from core.errors import AfinaError
from core.runs.run import Run
from core.train.checkpoint import manifest
from core.train.loader import stream
from core.train.loader.stream import Laying, Stream
from core.train.loader.stream_batches import Batches, Cursor, Passed
from core.train.loader.stream_estimate import look
from tests.core.train.conftest import (
    Configure,
    NewWorker,
    chat_rows,
    losses,
    of_kind,
    steps,
    write_rows,
)

Batch = list[dict[str, Any]]
PACKED, ROWS = Laying(96, 2, True), Laying(96, 2, False)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of eight rows in chunks of four, so that few rows make many of them."""
    monkeypatch.setattr(stream, "BLOCK_ROWS", 8)
    monkeypatch.setattr(stream, "CHUNK_ROWS", 4)
    monkeypatch.setattr(stream, "SHUFFLED_ROWS", 0)


@pytest.fixture
def streamed(configure: Configure) -> Iterator[Callable[..., Stream]]:
    """The stream of some rows, by default of the whole chat file."""
    sources = []

    def make(config: Config | None = None, spans: list[Span] | None = None) -> Stream:
        recipe = Recipe.of(config or configure())
        assert config is None or config.data.path
        sources.append(source := open_source((config or configure()).data.path))
        spans = spans or [Span(0, len(source), 1.0)]
        return Stream(source, recipe.reader(source), recipe.encoder(), spans, seed=5)

    yield make
    for source in sources:
        source.close()


def taken(stream: Stream, laying: Laying, count: int, passed: Passed | None = None) -> list[Batch]:
    """The next batches as lists of examples."""
    batches = iter(Batches(stream, laying, passed or Passed(), lambda examples: examples, 99))
    found = list(islice(batches, count))
    batches.close()  # type: ignore[attr-defined] - a generator
    return found


def ids_of(batches: list[Batch]) -> Counter[tuple[int, ...]]:
    return Counter(tuple(example["input_ids"]) for batch in batches for example in batch)


def test_an_epoch_holds_every_row_once_in_another_order_than_the_next(
    streamed: Callable[..., Stream],
) -> None:
    orders = [streamed().epoch(number) for number in (0, 1)]
    seen = [[row for block in range(len(o)) for row in o.rows(block)] for o in orders]
    assert [sorted(rows) for rows in seen] == [list(range(40))] * 2
    assert seen[0] != seen[1] != list(range(40))


def test_rows_of_a_block_lie_side_by_side_in_the_file(streamed: Callable[..., Stream]) -> None:
    rows = sorted(streamed().epoch(0).rows(0))
    assert len(rows) == 8
    assert [row - rows[0] for row in rows[:4]] == [0, 1, 2, 3]


def test_a_share_of_the_rows_is_another_one_in_the_next_epoch(
    streamed: Callable[..., Stream],
) -> None:
    halves = streamed(spans=[Span(0, 40, 0.5)])
    seen = [halves.epoch(n) for n in range(2)]
    rows = [{row for block in range(len(o)) for row in o.rows(block)} for o in seen]
    assert len(rows[0]) == len(rows[1]) == 20
    assert not rows[0] & rows[1]


@pytest.mark.parametrize("laying", [PACKED, ROWS])
def test_the_order_does_not_depend_on_the_files_nor_on_who_is_faster(
    laying: Laying,
    streamed: Callable[..., Stream],
    configure: Configure,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = chat_rows(40)
    for number, cut in enumerate((slice(0, 7), slice(7, 8), slice(8, 40))):
        write_rows(tmp_path / f"part-{number}.jsonl", rows[cut])
    whole = taken(streamed(), laying, 30)
    monkeypatch.setattr("core.train.loader.stream_batches.AHEAD", 5)
    assert taken(streamed(configure(f"data.path={tmp_path}")), laying, 30) == whole


@pytest.mark.parametrize("laying", [PACKED, ROWS])
def test_a_run_that_goes_on_gets_the_batches_it_would_have_had(
    laying: Laying, streamed: Callable[..., Stream]
) -> None:
    whole = taken(streamed(), laying, 40)
    for done in (0, 1, 3, 4, 17, 20):
        passed = Passed()
        assert taken(streamed(), laying, done, passed) == whole[:done]
        assert taken(streamed(), laying, 40 - done, passed) == whole[done:]


def test_packed_rows_are_those_that_are_not_packed(streamed: Callable[..., Stream]) -> None:
    passed = Passed()
    single = ids_of(taken(streamed(), ROWS, 20, passed))
    assert passed.cursor == Cursor(1, 0, 0)
    bins = [example for batch in taken(streamed(), PACKED, 40) for example in batch]
    assert all(len(example["input_ids"]) <= 96 for example in bins)
    cut: Counter[tuple[int, ...]] = Counter()
    for example in bins:
        start = 0
        for length in example["seq_lengths"]:
            cut[tuple(example["input_ids"][start : start + length])] += 1
            start += length
    assert cut.keys() == single.keys()


def test_rows_that_teach_nothing_are_counted_as_they_pass(
    streamed: Callable[..., Stream], configure: Configure, tmp_path: Path
) -> None:
    rows: list[dict[str, Any]] = chat_rows(24)
    for index in (2, 3, 20):
        rows[index] = {"messages": [{"role": "user", "content": "Hm?"}]}
    config = configure(f"data.path={write_rows(tmp_path / 'rows.jsonl', rows)}")
    passed = Passed()
    taken(streamed(config), ROWS, 1, passed)
    assert passed.rows == 8
    first = passed.left_out
    while passed.cursor.epoch == 0:  # goes on block by block, and counts none of them twice
        taken(streamed(config), ROWS, 1, passed)
    assert (passed.rows, passed.left_out) == (24, 3)
    assert first <= 3
    assert "no_assistant_message" in passed.first_left_out


def test_a_file_of_which_nothing_can_be_learned_is_told(
    streamed: Callable[..., Stream], configure: Configure, tmp_path: Path
) -> None:
    row = {"messages": [{"role": "user", "content": "Hm?"}]}
    config = configure(f"data.path={write_rows(tmp_path / 'rows.jsonl', [row] * 20)}")
    with pytest.raises(AfinaError, match="None of the rows can be trained on"):
        taken(streamed(config), ROWS, 1)


def test_held_out_rows_and_their_copies_do_not_come_by(
    configure: Configure, tmp_path: Path
) -> None:
    rows = chat_rows(20)
    path = write_rows(tmp_path / "rows.jsonl", [*rows, *rows])
    config = configure(f"data.path={path}", "data.streaming=true", "data.eval_fraction=0.2")
    seen = look(config, Recipe.of(config).encoder(), lambda done, total: None)
    passed = Passed()
    trained = ids_of(taken(seen.stream, ROWS, 60, passed))
    flat = seen.evaluation
    held_out = set()
    start = 0
    for length in flat.lengths:
        held_out.add(tuple(flat.ids[start : start + length]))
        start += length
    assert len(flat) == 8
    assert not held_out & trained.keys()
    assert passed.copies > 0
    seen.stream.source.close()


WORDS = (
    "data.streaming=true",
    "train.num_train_epochs=3",
    "method.dropout=0.1",
    "eval.every_steps=8",
    "checkpoint.every_steps=4",
)


def test_a_killed_streamed_run_goes_on_with_the_same_losses(
    finished: Callable[[Config], Run], new_worker: NewWorker, configure: Configure, tmp_path: Path
) -> None:
    rows: list[dict[str, Any]] = chat_rows(40)
    rows[7] = {"messages": [{"role": "user", "content": "Hm?"}]}
    path = write_rows(tmp_path / "rows.jsonl", rows)
    whole = finished(configure(*WORDS, f"data.path={path}"))
    (plan,) = of_kind(whole, "plan")
    assert plan["estimated"] and plan["rows"] + plan["eval_rows"] == 39
    assert len(steps(whole)) == plan["steps"] == 27
    epochs = [event["epoch"] for event in steps(whole).values()]
    assert epochs == sorted(epochs) and 2.8 < epochs[-1] <= 3.2
    messages = [event["message"] for event in of_kind(whole, "finding")]
    assert any("rows that were encoded are left out: the first is row 8" in m for m in messages)

    worker = new_worker(configure(*WORDS, f"data.path={path}")).start()
    worker.until_step(6)
    worker.kill()
    kept = manifest.read(worker.run.checkpoints()[-1])
    assert kept is not None and kept.progress["streamed"]["steps"] == 27
    assert worker.start().wait() == 0, worker.log()
    assert losses(worker.run) == losses(whole)
    weights = "adapter/adapter_model.safetensors"
    assert (worker.run.directory / weights).read_bytes() == (whole.directory / weights).read_bytes()

    shutil.rmtree(worker.run.directory / "adapter")
    write_rows(path, rows[:30])
    assert worker.start().wait() == 1
    assert "would not go on as it began: data.path" in worker.run.state().reason
