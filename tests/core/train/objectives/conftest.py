"""Preferences, judged answers and texts with classes, and the trainers that a worker builds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.config import Config
from core.data.encode.encoder import Encoding, encode_rows
from core.data.files.source import open_source
from core.data.recipe import Recipe
from core.jobs import JobWorker
from core.runs.run import create_run
from core.train.callback import RunCallback
from core.train.checkpoint.progress import Progress
from core.train.checks import preflight
from core.train.control import Requests
from core.train.model import precision
from core.train.setup import Setup
from core.train.training import Training
from tests.core.train.conftest import CITIES, FOODS, write_rows

Row = dict[str, Any]


def preferences(count: int) -> list[Row]:
    """The food is right in the chosen answer: easy to prefer."""
    rows = []
    for index in range(count):
        ask = f"What do people eat in {CITIES[index % len(CITIES)]} on day {index}?"
        good, bad = ("They eat bread and soup.", "They eat fish" + " again" * (index % 3) + ".")
        rows.append({"prompt": _said("user", ask), "chosen": _said("assistant", good)})
        rows[-1]["rejected"] = _said("assistant", bad)
    return rows


def judged(count: int) -> list[Row]:
    """The same answers one by one, each wanted or not."""
    return [
        {"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"}
        for number, row in enumerate(preferences(count))
        for side in [("chosen", "rejected")[number % 2]]
    ]


def classes(count: int) -> list[Row]:
    """A text tells its class by its last word."""
    return [
        {
            "text": f"Day {index}: {FOODS[index % 3]}",
            "label": ("grain", "soup", "cereal")[index % 3],
        }
        for index in range(count)
    ]


def _said(role: str, content: str) -> list[Row]:
    return [{"role": role, "content": content}]


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("objectives")
    made = {"dpo": preferences(24), "kto": judged(24), "classification": classes(30)}
    return {name: write_rows(folder / f"{name}.jsonl", rows) for name, rows in made.items()}


@pytest.fixture
def assemble(home: Path) -> Iterator[Callable[[Config], Any]]:
    """The trainer that a worker would build, in this process."""
    workers = []

    def make(config: Config) -> Any:
        run = create_run(home, config)
        workers.append(worker := JobWorker(run.directory))
        training = Training(run, worker, Requests(worker))
        encoder = Recipe.of(config).encoder()
        encoded = training.load_rows(encoder)
        preflight.check_data(config, encoder, encoded)
        base = Path(config.model.name_or_path)
        setup = Setup(run.directory, base, config, precision.choose(config))
        callback = RunCallback(worker, config, Progress(), Requests(worker), lambda step: 0)
        return training.build(setup, encoder, encoded, callback)

    yield make
    for worker in workers:
        worker.close()


def encodings(config: Config) -> list[Encoding]:
    recipe = Recipe.of(config)
    with open_source(config.data.path) as source:
        return list(encode_rows(source, recipe.reader(source), recipe.encoder()))


def rows_of(batch: dict[str, Any], prefix: str = "") -> list[tuple[list[int], list[bool]]]:
    """(ids, learned) of the rows of a padded batch."""
    found = []
    names = [prefix + name for name in ("input_ids", "attention_mask", "completion_mask")]
    for ids, there, learned in zip(*(batch[name] for name in names), strict=True):
        length = int(there.sum())
        assert not learned[length:].any()
        found.append((ids[:length].tolist(), [bool(x) for x in learned[:length]]))
    return found
