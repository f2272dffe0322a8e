"""Preferences, judged answers and classes: what reaches the model, and what is learned of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from core.config import Config
from core.data.encode.encoder import Encoding, encode_rows
from core.data.files.source import open_source
from core.data.recipe import Recipe
from core.errors import AfinaError
from core.jobs import JobWorker
from core.runs import Run, create_run
from core.targets import of_run
from core.train.model import precision
from core.train.objectives.classifier import macro_f1
from core.train.progress import Progress
from core.train.recorder import Recorder
from core.train.requests import Requests
from core.train.safety import checkpoints, preflight
from core.train.setup import Setup
from core.train.training import Training
from tests.core.train.conftest import (
    CITIES,
    FOODS,
    Configure,
    NewWorker,
    losses,
    of_kind,
    steps,
    write_rows,
)

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
        recorder = Recorder(worker, config, Progress(), Requests(worker), lambda step: 0)
        return training.build(setup, encoder, encoded, recorder)

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


def test_dpo_gets_the_ids_and_masks_of_both_sides(
    assemble: Callable[[Config], Any], configure: Configure, files: dict[str, Path]
) -> None:
    config = configure(f"data.path={files['dpo']}", "data.eval_fraction=0")
    pairs = []
    for batch in assemble(config).get_train_dataloader():
        rows = rows_of(batch)
        half = len(rows) // 2
        pairs += list(zip(rows[:half], rows[half:], strict=True))
    expected = []
    for item in encodings(config):
        assert item.rejected is not None
        other = item.rejected
        expected.append(((item.ids, item.supervised), (other.ids, other.supervised)))
    assert sorted(pairs) == sorted(expected)
    assert all(chosen != rejected for chosen, rejected in pairs)


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_dpo_prefers_the_chosen_side_after_some_steps(
    kind: str, assemble: Callable[[Config], Any], configure: Configure, files: dict[str, Path]
) -> None:
    rate = {"lora": "1e-2", "full": "1e-3"}[kind]
    words = (f"data.path={files['dpo']}", f"method.kind={kind}", f"train.learning_rate={rate}")
    trainer = assemble(configure(*words, "train.max_steps=12", "eval.every_steps=99"))
    before = trainer.evaluate()
    assert before["eval_loss"] == pytest.approx(0.6931, abs=1e-4)  # ln 2: nothing is preferred yet
    trainer.train()
    after = trainer.evaluate()
    assert after["eval_loss"] < before["eval_loss"]
    assert after["rewards/accuracies"] == 1.0
    assert after["rewards/margins"] > 0.1
    events = [event for event in Run(trainer.setup.run).events() if event["kind"] == "step"]
    assert {"rewards_accuracy", "rewards_margin"} <= events[-1].keys()
    assert events[-1]["rewards_margin"] > events[0]["rewards_margin"]


def test_kto_gets_each_answer_once_and_each_prompt_with_another_answer(
    assemble: Callable[[Config], Any], configure: Configure, files: dict[str, Path]
) -> None:
    config = configure(f"data.path={files['kto']}", "data.eval_fraction=0")
    seen = []
    for batch in assemble(config).get_train_dataloader():
        rows = rows_of(batch)
        seen += list(zip(rows, batch["label"].tolist(), strict=True))
        parts = [(ids[: learned.index(True)], ids[learned.index(True) :]) for ids, learned in rows]
        answers = [answer for _, answer in parts]
        others = [answers[-1], *answers[:-1]]
        mismatched = [prompt + other for (prompt, _), other in zip(parts, others, strict=True)]
        assert [ids for ids, _ in rows_of(batch, "KL_")] == mismatched
    expected = [((item.ids, item.supervised), item.label) for item in encodings(config)]
    assert sorted(seen) == sorted(expected)


def test_kto_learns_which_answers_are_wanted(
    assemble: Callable[[Config], Any], configure: Configure, files: dict[str, Path]
) -> None:
    words = (f"data.path={files['kto']}", "train.max_steps=14", "eval.every_steps=99")
    more = ("train.per_device_train_batch_size=6", "data.eval_fraction=0.4")
    trainer = assemble(configure(*words, *more))
    trainer.train()
    measured = trainer.evaluate()
    assert measured["rewards/margins"] > 0.1
    assert measured["eval_loss"] < 0.5


def test_rows_of_one_do_not_train_kto(configure: Configure, files: dict[str, Path]) -> None:
    config = configure(f"data.path={files['kto']}", "train.per_device_train_batch_size=1")
    from core.train.feed import dataset

    with pytest.raises(AfinaError, match="the batches have one row"):
        dataset.load(config, Recipe.of(config).encoder(), lambda done, total: None)


def test_a_classifier_gets_the_ids_and_the_places_of_the_classes(
    assemble: Callable[[Config], Any], configure: Configure, files: dict[str, Path]
) -> None:
    config = configure(f"data.path={files['classification']}", "data.eval_fraction=0")
    trainer = assemble(config)
    names = trainer.model.config.id2label
    assert names == {0: "cereal", 1: "grain", 2: "soup"}
    seen = []
    for batch in trainer.get_train_dataloader():
        pairs = zip(batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True)
        seen += [(ids[: int(m.sum())].tolist(), names[int(label)]) for ids, m, label in pairs]
    assert sorted(seen) == sorted((item.ids, item.label) for item in encodings(config))


def test_f1_is_the_mean_over_classes() -> None:
    assert macro_f1([0, 0, 1, 1], [0, 0, 1, 1]) == 1.0
    assert macro_f1([0, 0, 0, 1], [0, 0, 0, 0]) == pytest.approx((6 / 7 + 0) / 2)
    assert macro_f1([0, 1], [2, 1]) == pytest.approx(1 / 3)


def test_a_single_class_is_told(
    assemble: Callable[[Config], Any], configure: Configure, tmp_path: Path
) -> None:
    rows = [{"text": f"Text {index}", "label": "same"} for index in range(12)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    with pytest.raises(AfinaError, match='Every row has the class "same"'):
        assemble(configure(f"data.path={path}"))


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_a_classifier_tells_its_classes_and_is_loaded_with_them(
    kind: str, new_worker: NewWorker, configure: Configure, files: dict[str, Path]
) -> None:
    from peft import PeftModel
    from transformers import AutoConfig, AutoModelForSequenceClassification

    words = (f"data.path={files['classification']}", f"method.kind={kind}", "train.max_steps=30")
    worker = new_worker(configure(*words, "eval.every_steps=30")).start()
    assert worker.wait() == 0, worker.log()
    last = of_kind(worker.run, "eval")[-1]
    assert last["accuracy"] == last["macro_f1"] == 1.0
    result = worker.run.result
    assert result is not None and checkpoints.damage(result) is None
    names = {0: "cereal", 1: "grain", 2: "soup"}
    base = result if kind == "full" else Path(worker.run.config.model.name_or_path)
    model: Any = AutoModelForSequenceClassification.from_pretrained(
        base, config=AutoConfig.from_pretrained(result)
    )
    if kind == "lora":
        model = PeftModel.from_pretrained(model, str(result))
    assert model.config.id2label == names
    ids = torch.tensor([encodings(worker.run.config)[1].ids])
    assert names[int(model(input_ids=ids).logits.argmax())] == "soup"
    with pytest.raises(AfinaError, match="is a classifier: it tells cereal, grain, soup apart"):
        of_run(worker.run)
    assert of_run(worker.run, "base").adapter is None


DPO = ("train.max_steps=14", "checkpoint.every_steps=4", "eval.every_steps=7")


def test_a_killed_dpo_run_goes_on_with_the_same_losses(
    finished: Callable[[Config], Run],
    new_worker: NewWorker,
    configure: Configure,
    files: dict[str, Path],
) -> None:
    config = configure(*DPO, f"data.path={files['dpo']}", 'eval.watch_prompts=["Hm?"]')
    whole = finished(config)
    worker = new_worker(config).start()
    worker.until_step(5)
    worker.kill()
    assert worker.start().wait() == 0, worker.log()
    assert losses(worker.run) == losses(whole)
    weights = "adapter/adapter_model.safetensors"
    assert (worker.run.directory / weights).read_bytes() == (whole.directory / weights).read_bytes()
    (plan,) = of_kind(whole, "plan")
    assert plan["objective"] == "dpo"
    assert steps(whole)[6]["tokens"] > 0
    evaluations = of_kind(whole, "eval")
    assert [event["step"] for event in evaluations] == [0, 7, 14]
    assert evaluations[-1]["rewards_accuracy"] == 1.0
    settings = json.loads((whole.directory / "adapter" / "adapter_config.json").read_text())
    assert settings["task_type"] == "CAUSAL_LM"
    assert of_run(whole).adapter == str(whole.directory / "adapter")
