"""ORPO: its loss is the paper's, its numbers are TRL's, and no second model is needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MethodType, SimpleNamespace
from typing import Any

import pytest
import torch

from core.config import Config
from core.runs.run import Run
from core.train.objectives.orpo import log_1_minus_exp, odds_of
from tests.core.train.conftest import Configure


@pytest.fixture
def odds(
    assemble: Callable[[Config], Any], configure: Configure, files: dict[str, Path]
) -> Callable[..., Any]:
    def make(*words: str) -> Any:
        given = (f"data.path={files['dpo']}", "train.objective=orpo", "train.beta=0.3", *words)
        return assemble(configure(*given))

    return make


def as_trl(trainer: Any, batch: dict[str, torch.Tensor]) -> tuple[float, dict[str, float]]:
    """The loss and the measures of TRL's own trainer for the rows of a batch."""
    from trl.experimental.orpo import ORPOTrainer

    theirs = SimpleNamespace(
        is_encoder_decoder=False,
        aux_loss_enabled=False,
        padding_value=0,
        beta=trainer.beta,
        accelerator=trainer.accelerator,
        concatenated_inputs=ORPOTrainer.concatenated_inputs,
        get_batch_logps=ORPOTrainer.get_batch_logps,
    )
    for name in ("concatenated_forward", "odds_ratio_loss"):
        setattr(theirs, name, MethodType(getattr(ORPOTrainer, name), theirs))
    labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
    columns = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    columns["labels"] = labels
    rows = {}
    for name, values in columns.items():
        rows[f"chosen_{name}"], rows[f"rejected_{name}"] = values.chunk(2)
    loss, measures = ORPOTrainer.get_batch_loss_metrics(theirs, trainer.model, rows)  # type: ignore[arg-type]
    return float(loss), measures


def test_the_preference_counts_as_in_trl(odds: Callable[..., Any]) -> None:
    trainer = odds("train.max_steps=3", "eval.every_steps=9")
    trainer.train()
    trainer.model.eval()
    batch = next(iter(trainer.get_eval_dataloader()))
    with torch.no_grad():
        ours, chosen, rejected = trainer._odds(trainer.model, batch)
        _, theirs = as_trl(trainer, batch)
    assert float(chosen.mean()) == pytest.approx(theirs["logps/chosen"], rel=1e-5)
    assert float(rejected.mean()) == pytest.approx(theirs["logps/rejected"], rel=1e-5)
    assert float(ours.log_odds_ratio.mean()) == pytest.approx(theirs["log_odds_chosen"], rel=1e-4)
    preference = float((ours.loss - ours.nll).mean())
    assert preference == pytest.approx(-0.3 * theirs["log_odds_ratio"], rel=1e-5)


def test_the_whole_loss_is_that_of_trl_where_the_prompt_is_learned_too(
    odds: Callable[..., Any],
) -> None:
    trainer = odds("train.per_device_train_batch_size=1")
    batch = next(iter(trainer.get_eval_dataloader()))
    # TRL's nll counts the prompt, the paper's only the answer: here nothing is the prompt
    batch["completion_mask"] = batch["attention_mask"]
    trainer.model.eval()
    with torch.no_grad():
        ours = trainer.compute_loss(trainer.model, batch)
        theirs, _ = as_trl(trainer, batch)
    assert float(ours) == pytest.approx(theirs, rel=1e-5)


def test_the_loss_is_the_papers() -> None:
    chosen, rejected = torch.tensor([0.8, 0.3]).log(), torch.tensor([0.5, 0.6]).log()
    found = odds_of(chosen, rejected, beta=0.2)
    ratio = torch.tensor([(0.8 / 0.2) / (0.5 / 0.5), (0.3 / 0.7) / (0.6 / 0.4)])
    expected = -chosen - 0.2 * torch.sigmoid(ratio.log()).log()
    torch.testing.assert_close(found.log_odds_ratio, ratio.log())
    torch.testing.assert_close(found.loss, expected)


def test_certain_and_impossible_answers_have_finite_gradients() -> None:
    x = torch.tensor([0.0, -1e-12, -0.1, -0.6931472, -2.0, -90.0], requires_grad=True)
    found = log_1_minus_exp(x)
    found.sum().backward()
    assert x.grad is not None
    assert bool(torch.isfinite(found).all()) and bool(torch.isfinite(x.grad).all())
    exact = torch.log(-torch.expm1(x.detach().double()[2:]))
    torch.testing.assert_close(found.detach()[2:], exact.float())


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_it_learns_to_write_and_to_prefer_with_one_model(
    kind: str, odds: Callable[..., Any]
) -> None:
    rate = {"lora": "1e-2", "full": "1e-3"}[kind]
    words = (f"method.kind={kind}", f"train.learning_rate={rate}", "train.max_steps=12")
    trainer = odds(*words, "eval.every_steps=99", "train.gradient_checkpointing=true")
    passes = []
    trainer.model.register_forward_pre_hook(lambda *given: passes.append(1))
    before = trainer.evaluate()
    del passes[:]
    trainer.train()
    last = trainer.evaluate()
    assert last["eval_loss"] < before["eval_loss"]
    assert last["nll_loss"] < before["nll_loss"]
    assert last["rewards/accuracies"] == 1.0
    # before the first step, after the last one, and here
    assert len(passes) == 12 + 3 * len(trainer.get_eval_dataloader())
    events = [event for event in Run(trainer.setup.run).events() if event["kind"] == "step"]
    assert {"nll_loss", "log_odds_ratio", "rewards_margin"} <= events[-1].keys()
