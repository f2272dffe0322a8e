"""DPO: what reaches the model of both sides, and what is learned of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.config import Config
from core.runs.run import Run
from core.runs.target import of_run
from tests.core.train.conftest import (
    Configure,
    NewWorker,
    losses,
    of_kind,
    steps,
)
from tests.core.train.objectives.conftest import encodings, rows_of


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
