"""The promise: what `data show --json` shows of a row is what the model is trained on.

The batch that reaches the model in a real run is taken from its loss and its forward pass and
compared, row by row, for every shape and every way to supervise.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pytest

from core.config import Config
from core.data.encode.encoder import SUPERVISE
from core.data.recipe import Recipe
from core.data.report import load_rows, row_fields
from core.jobs import JobWorker
from core.runs.run import create_run
from core.train.callback import RunCallback
from core.train.checkpoint.progress import Progress
from core.train.control import Requests
from core.train.loader.dataset import load
from core.train.model import precision
from core.train.setup import Setup
from core.train.training import Training
from tests.core.train.conftest import Configure, write_rows

Learned = tuple[list[int], list[int]]  # ids, and labels
TALK = [
    {"role": "system", "content": "Be short 😀"},
    {"role": "user", "content": "What do people eat in Rome?"},
    {"role": "assistant", "content": "They eat bread.", "weight": 0},
    {"role": "user", "content": "And in Lima?"},
    {"role": "assistant", "content": "They eat fish — señor."},
    {"role": "assistant", "content": "And figs."},
]
PACKING = ("on", "off", "on", "off")
ROLES = {"system": "system", "user": "human", "assistant": "gpt"}


def _sharegpt(turns: list[dict[str, Any]]) -> dict[str, Any]:
    said = [{"from": ROLES[turn["role"]], "value": turn["content"]} for turn in turns]
    return {"conversations": said}


SFT: dict[str, list[dict[str, Any]]] = {
    "chat": [{"messages": TALK}, {"messages": TALK[1:3] + TALK[3:5]}, {"messages": TALK[3:5] * 4}],
    "sharegpt": [_sharegpt(TALK), _sharegpt(TALK[3:5])],
    "alpaca": [
        {"instruction": "Name a food", "input": "of Rome", "output": "Bread."},
        {"instruction": "More", "output": "Figs.", "history": [["Name one", "Soup."]]},
    ],
    "prompt_completion": [
        {"prompt": "What do people eat?", "completion": " Rice 日本."},
        {"prompt": TALK[:4], "completion": TALK[4:]},
    ],
    "template": [{"city": "Rome", "food": "bread é"}, {"city": "Lima", "food": "fish " * 30}],
    "text": [{"text": "In Oslo they eat fish."}, {"text": "Soup 😀 " * 12}],
    "pretokenised": [
        {"input_ids": [7, 8, 9, 10, 1], "labels": [-100, -100, 9, 10, 1]},
        {"input_ids": list(range(5, 40))},
    ],
}
PREFERENCES = [
    {"prompt": "What do people eat?", "chosen": "Bread é.", "rejected": "Stones " * 20},
    {"chosen": [*TALK[3:5]], "rejected": [TALK[3], {"role": "assistant", "content": "Nothing."}]},
    {"prompt": TALK[3:4], "chosen": TALK[4:5], "rejected": TALK[5:6]},
]
JUDGED = [
    {"prompt": "What do people eat?", "completion": answer, "label": good}
    for answer, good in (("Bread é.", True), ("Stones", False), ("Rice " * 20, True), ("No", False))
]
CLASSES = [
    {"text": "Bread is good 😀", "label": "grain"},
    {"text": "Fish " * 30, "label": "animal"},
    {"text": "Rice", "label": "grain"},
]
PAIRS = [
    {"premise": "It is bread.", "hypothesis": "It is food.", "label": 1},
    {"premise": "It is stone.", "hypothesis": "It is food.", "label": 0},
]


class Seen:
    """The batches that reached the loss of a trainer, and the token ids that reached its model."""

    def __init__(self, trainer: Any) -> None:
        self.batches: list[dict[str, Any]] = []
        self.read: list[list[int]] = []  # one list for each row of each forward pass
        compute = trainer.compute_loss

        def watched(model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            self.batches.append(dict(inputs))
            return compute(model, inputs, *args, **kwargs)

        trainer.compute_loss = watched
        trainer.model.register_forward_pre_hook(self._read, with_kwargs=True)

    def _read(self, model: Any, args: Any, given: dict[str, Any]) -> None:
        ids = given["input_ids"] if "input_ids" in given else args[0]
        there = given.get("attention_mask")
        for place, row in enumerate(ids.tolist()):
            length = len(row) if there is None or there.ndim != 2 else int(there[place].sum())
            self.read.append(row[:length])


@pytest.fixture
def train(home: Path) -> Iterator[Callable[[Config], Seen]]:
    """Trains a run as its worker does, in this process, and tells what the model was given."""
    workers = []

    def run(config: Config) -> Seen:
        made = create_run(home, config)
        workers.append(worker := JobWorker(made.directory))
        requests = Requests(worker)
        training = Training(made, worker, requests)
        encoder = Recipe.of(config).encoder()
        encoded = training.load_rows(encoder)
        base = Path(config.model.name_or_path)
        setup = Setup(made.directory, base, config, precision.choose(config))
        callback = RunCallback(worker, config, Progress(), requests, lambda step: 0)
        trainer = training.build(setup, encoder, encoded, callback)
        seen = Seen(trainer)
        trainer.train()
        return seen

    yield run
    for worker in workers:
        worker.close()


@pytest.fixture
def configured(configure: Configure, tmp_path: Path) -> Callable[..., Config]:
    """The configuration of one epoch over some rows."""

    def make(rows: list[dict[str, Any]], *words: str) -> Config:
        path = write_rows(tmp_path / "rows.jsonl", rows)
        return configure(
            f"data.path={path}",
            "data.eval_fraction=0",
            "train.num_train_epochs=1",
            "train.per_device_train_batch_size=2",
            *words,
        )

    return make


def shown(config: Config, count: int) -> list[dict[str, Any]]:
    """`data show --json` of every row."""
    rows = load_rows(config.data.path, range(1, count + 1), Recipe.of(config))
    return [json.loads(json.dumps(row_fields(row))) for row in rows]


def labels_of(row: dict[str, Any]) -> Learned:
    pairs = zip(row["ids"], row["supervised"], strict=True)
    return row["ids"], [token if learned else -100 for token, learned in pairs]


def predicted(rows: list[Learned]) -> list[Learned]:
    """Rows without their first label: there is nothing before it to predict it from."""
    return sorted((ids, [-100, *labels[1:]]) for ids, labels in rows)


def documents(batch: dict[str, Any]) -> list[Learned]:
    """The rows that lie end to end in a batch of sft."""
    edges = batch["cu_seq_lens_q"].tolist()
    ids, labels = batch["input_ids"][0].tolist(), batch["labels"][0].tolist()
    return [(ids[a:b], labels[a:b]) for a, b in zip(edges[:-1], edges[1:], strict=True)]


def masked(batch: dict[str, Any]) -> list[Learned]:
    """The padded rows of a batch of dpo or kto."""
    found = []
    names = ("input_ids", "attention_mask", "completion_mask")
    for ids, there, learned in zip(*(batch[name].tolist() for name in names), strict=True):
        row = ids[: sum(there)]
        flags = learned[: len(row)]
        found.append(
            (row, [token if flag else -100 for token, flag in zip(row, flags, strict=True)])
        )
    return found


RUNS = [
    *(("chat", supervise, packing) for supervise, packing in zip(SUPERVISE, PACKING, strict=True)),
    ("chat", "assistant", "off"),
    ("sharegpt", "completion", "off"),
    ("alpaca", "last_assistant", "on"),
    ("prompt_completion", "assistant", "off"),
    ("prompt_completion", "all", "on"),
    ("template", "completion", "on"),
    ("text", "assistant", "off"),
    ("pretokenised", "assistant", "on"),
    ("pretokenised", "last_assistant", "off"),
]


@pytest.mark.parametrize(("shape", "supervise", "packing"), RUNS)
def test_the_model_is_trained_on_what_is_shown(
    shape: str,
    supervise: str,
    packing: str,
    train: Callable[[Config], Seen],
    configured: Callable[..., Config],
) -> None:
    config = configured(SFT[shape], *words_of(shape, supervise), f"train.packing={packing}")
    seen = train(config)
    given = [row for batch in seen.batches for row in documents(batch)]
    assert sorted(given) == predicted(learned(config))
    assert seen.read == [batch["input_ids"][0].tolist() for batch in seen.batches]


@pytest.mark.parametrize("supervise", SUPERVISE)
@pytest.mark.parametrize("shape", SFT)
def test_the_trainer_loads_what_is_shown(
    shape: str, supervise: str, configured: Callable[..., Config]
) -> None:
    config = configured(SFT[shape], *words_of(shape, supervise))
    rows = load(config, Recipe.of(config).encoder(), lambda done, total: None).train
    edges = [0, *accumulate(rows.lengths)]
    flat = [(rows.ids[a:b].tolist(), rows.labels[a:b].tolist()) for a, b in pairwise(edges)]
    assert sorted(flat) == sorted(learned(config))


def words_of(shape: str, supervise: str) -> list[str]:
    words = [f"train.supervise={supervise}", f"data.format={shape}"]
    if shape == "template":
        words.append('data.prompt_template="City: {city} {{x}} food: {food}."')
    return words


def learned(config: Config) -> list[Learned]:
    """The rows that are shown as ones to learn from."""
    rows = [row for row in shown(config, len(SFT[config.data.format])) if any(row["supervised"])]
    assert rows
    return [labels_of(row) for row in rows]


@pytest.mark.parametrize("packing", ["on", "off"])
def test_streamed_rows_are_what_is_shown(
    packing: str, train: Callable[[Config], Seen], configured: Callable[..., Config]
) -> None:
    config = configured(SFT["chat"], "data.streaming=true", f"train.packing={packing}")
    rows = shown(config, len(SFT["chat"]))
    given = [row for batch in train(config).batches for row in documents(batch)]
    assert sorted(given) == predicted([labels_of(row) for row in rows])


def test_both_answers_of_a_preference_are_what_is_shown(
    train: Callable[[Config], Seen], configured: Callable[..., Config]
) -> None:
    config = configured(PREFERENCES, "train.supervise=all")
    rows = shown(config, len(PREFERENCES))
    seen = train(config)
    given: list[tuple[Learned, Learned]] = []
    for batch in seen.batches:
        sides = masked(batch)
        half = len(sides) // 2
        given += zip(sides[:half], sides[half:], strict=True)
    assert sorted(given) == sorted((labels_of(row), labels_of(row["rejected"])) for row in rows)
    for pair in given:
        assert all(ids in seen.read for ids, _ in pair)


def test_judged_answers_and_their_verdicts_are_what_is_shown(
    train: Callable[[Config], Seen], configured: Callable[..., Config]
) -> None:
    config = configured(JUDGED)
    rows = shown(config, len(JUDGED))
    seen = train(config)
    given = [
        (*row, bool(verdict))
        for batch in seen.batches
        for row, verdict in zip(masked(batch), batch["label"].tolist(), strict=True)
    ]
    assert sorted(given) == sorted((*labels_of(row), row["label"]) for row in rows)
    assert all(ids in seen.read for ids, _, _ in given)


@pytest.mark.parametrize("rows", [CLASSES, PAIRS], ids=["texts", "pairs"])
def test_texts_and_their_classes_are_what_is_shown(
    rows: list[dict[str, Any]],
    train: Callable[[Config], Seen],
    configured: Callable[..., Config],
) -> None:
    config = configured(rows)
    expected = shown(config, len(rows))
    classes = sorted({row["label"] for row in expected})
    seen = train(config)
    given = []
    for batch in seen.batches:
        lengths = batch["attention_mask"].sum(-1).tolist()
        for ids, length, label in zip(
            batch["input_ids"].tolist(), lengths, batch["labels"].tolist(), strict=True
        ):
            given.append((ids[:length], classes[label]))
    assert sorted(given) == sorted((row["ids"], row["label"]) for row in expected)
    assert sorted(seen.read) == sorted(ids for ids, _ in given)


def test_the_command_shows_the_same(configured: Callable[..., Config]) -> None:
    from typer.testing import CliRunner

    from tui.cli.data import app

    config = configured(PREFERENCES)
    words = ["show", config.data.path, "--row", "2", "--model", config.model.name_or_path]
    words += ["--max-length", str(config.data.max_length), "--json"]
    printed = CliRunner().invoke(app, words)
    assert printed.exit_code == 0, printed.output
    assert json.loads(printed.output) == shown(config, 2)[1]
