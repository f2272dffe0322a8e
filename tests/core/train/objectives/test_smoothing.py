"""Label smoothing: what torch's cross_entropy makes of it, in training only."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy, logsigmoid

from core.config import Config
from tests.core.train.conftest import Configure

Assemble = Callable[[Config], Any]
SMOOTHED = "train.label_smoothing_factor=0.2"


def expected_of(trainer: Any, batch: dict[str, Any], smoothing: float) -> torch.Tensor:
    """The mean over supervised tokens, from the logits of every token of the batch."""
    rest = {name: value for name, value in batch.items() if name != "labels"}
    logits = trainer.model(**rest, use_cache=False).logits[:, :-1].flatten(0, 1)
    targets = batch["labels"][:, 1:].flatten()
    return cross_entropy(logits, targets, label_smoothing=smoothing)


def gradient(trainer: Any, loss: torch.Tensor) -> torch.Tensor:
    trainer.model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.requires_grad])


@pytest.mark.parametrize("way", ["flat", "packed", "padded", "whole logits", "large logits"])
def test_sft_learns_from_smoothed_targets_on_every_path(
    way: str, assemble: Assemble, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "padded":
        monkeypatch.setattr("core.train.model.attention.isolates", lambda *given: False)
    if way == "large logits":
        monkeypatch.setattr("core.train.objectives.sft.MAX_LOGITS", 0)
    packing = "on" if way == "packed" else "off"
    trainer = assemble(configure(SMOOTHED, "method.kind=full", f"train.packing={packing}"))
    assert trainer.layout.flat == (way != "padded")
    trainer._keeps_logits = trainer._keeps_logits and way != "whole logits"
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    ours = trainer.compute_loss(trainer.model, dict(batch))
    expected = expected_of(trainer, batch, 0.2)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        gradient(trainer, ours), gradient(trainer, expected), rtol=1e-4, atol=1e-6
    )
    trainer.model.eval()
    plain = trainer.compute_loss(trainer.model, dict(batch))
    torch.testing.assert_close(plain, expected_of(trainer, batch, 0.0), rtol=1e-5, atol=1e-6)


def test_passes_of_a_step_count_by_their_supervised_tokens(
    assemble: Assemble, configure: Configure
) -> None:
    def losses(*words: str) -> list[float]:
        found: list[float] = []
        trainer = assemble(configure(SMOOTHED, "train.max_steps=3", "eval.every_steps=9", *words))
        log = trainer.log

        def listen(logs: dict[str, float], *rest: Any) -> None:
            found.extend([logs["loss"]] if "loss" in logs else [])
            log(logs, *rest)

        trainer.log = listen
        trainer.train()
        return found

    halves = "train.per_device_train_batch_size=2", "train.gradient_accumulation_steps=2"
    assert losses(*halves) == pytest.approx(losses(), rel=1e-4)


def test_a_batch_without_a_supervised_token_teaches_nothing(
    assemble: Assemble, configure: Configure
) -> None:
    trainer = assemble(configure(SMOOTHED, "method.kind=full"))
    batch = next(iter(trainer.get_train_dataloader()))
    batch["labels"] = torch.full_like(batch["labels"], -100)
    loss = trainer.compute_loss(trainer.model, batch)
    assert float(loss) == 0.0
    assert not gradient(trainer, loss).any()


def test_classes_are_learned_from_smoothed_targets(
    assemble: Assemble, configure: Configure, files: dict[str, Path]
) -> None:
    trainer = assemble(configure(f"data.path={files['classification']}", SMOOTHED))
    batch = next(iter(trainer.get_train_dataloader()))
    rest = {name: value for name, value in batch.items() if name != "labels"}
    logits = trainer.model(**rest).logits
    ours = trainer.compute_loss(trainer.model, dict(batch))
    expected = cross_entropy(logits, batch["labels"], label_smoothing=0.2)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)
    held = trainer.evaluate()["eval_loss"]
    trainer.smoothing = 0.0
    assert trainer.evaluate()["eval_loss"] == held


def test_dpo_is_conservative_and_measured_without_it(
    assemble: Assemble, configure: Configure, files: dict[str, Path]
) -> None:
    words = (f"data.path={files['dpo']}", "train.per_device_train_batch_size=1")
    trainer = assemble(configure(*words, SMOOTHED, "train.max_steps=4", "eval.every_steps=9"))
    trainer.train()
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    smoothed = trainer.compute_loss(trainer.model, dict(batch))
    margin = torch.tensor(trainer._metrics["train"]["rewards/margins"][-1])  # beta included
    assert abs(float(margin)) > 1e-3
    expected = -0.8 * logsigmoid(margin) - 0.2 * logsigmoid(-margin)
    torch.testing.assert_close(smoothed.detach(), expected, rtol=1e-5, atol=1e-6)
    with trainer.plain_loss():
        plain = trainer.compute_loss(trainer.model, dict(batch))
    torch.testing.assert_close(plain.detach(), -logsigmoid(margin), rtol=1e-5, atol=1e-6)


def test_conservative_dpo_holds_the_margin_where_its_doubt_is(
    assemble: Assemble, configure: Configure, files: dict[str, Path]
) -> None:
    """The gradient vanishes at sigmoid(margin) = 1 - smoothing, and turns round beyond."""
    trainer = assemble(configure(f"data.path={files['dpo']}", SMOOTHED))
    factor = trainer.label_smoothing
    best = torch.tensor(0.8).logit()
    margin = torch.stack([best - 1, best, best + 1]).requires_grad_()
    clean, flipped = -(1 - factor) * logsigmoid(margin), -factor * logsigmoid(-margin)
    ((clean - flipped) / (1 - 2 * factor)).sum().backward()  # as TRL writes its robust loss
    assert trainer.loss_types == ["robust"] and margin.grad is not None
    assert float(margin.grad[0]) < 0 < float(margin.grad[2])
    assert float(margin.grad[1]) == pytest.approx(0.0, abs=1e-6)


def test_ipo_aims_at_a_margin_of_its_own(
    assemble: Assemble, configure: Configure, files: dict[str, Path]
) -> None:
    words = (f"data.path={files['dpo']}", "train.loss_type=ipo", "train.beta=0.5")
    trainer = assemble(configure(*words, "train.max_steps=12", "eval.every_steps=99"))
    before = trainer.evaluate()
    # arXiv 2310.12036 eq. 17: (margin - 1 / (2 beta))^2, and nothing is preferred yet
    assert before["eval_loss"] == pytest.approx(1.0)
    trainer.train()
    after = trainer.evaluate()
    assert after["eval_loss"] < 0.8 and after["rewards/accuracies"] == 1.0


def test_a_learned_prompt_shifts_no_target(assemble: Assemble, configure: Configure) -> None:
    prompt = ("method.kind=prompt", "method.num_virtual_tokens=4")
    trainer = assemble(configure(SMOOTHED, *prompt))
    batch = next(iter(trainer.get_train_dataloader()))
    rest = {name: value for name, value in batch.items() if name != "labels"}
    logits = trainer.model(**rest, use_cache=False).logits[:, 4:-1].flatten(0, 1)
    expected = cross_entropy(logits, batch["labels"][:, 1:].flatten(), label_smoothing=0.2)
    trainer.model.train()
    ours = trainer.compute_loss(trainer.model, dict(batch))
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def experts(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of four experts, whose routing is to be balanced."""
    from transformers import MixtralConfig, MixtralForCausalLM

    folder = tmp_path_factory.mktemp("experts")
    for path in tiny_model.glob("tokenizer*"):
        shutil.copy(path, folder)
    torch.manual_seed(3)
    config = MixtralConfig(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_local_experts=4,
        router_aux_loss_coef=0.5,
        eos_token_id=1,
        pad_token_id=0,
    )
    MixtralForCausalLM(config).save_pretrained(folder)
    return folder


def test_experts_are_balanced_in_training_and_measured_without_it(
    experts: Path, assemble: Assemble, configure: Configure
) -> None:
    trainer = assemble(configure(f"model.name_or_path={experts}", "method.kind=full", SMOOTHED))
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    with torch.no_grad():
        both = float(trainer.compute_loss(trainer.model, dict(batch)))
        rest = {name: value for name, value in batch.items() if name != "labels"}
        aux = float(trainer.model(**rest, use_cache=False, output_router_logits=True).aux_loss)
        alone = float(expected_of(trainer, batch, 0.2))
        assert aux > 0.1
        assert both == pytest.approx(alone + 0.5 * aux, rel=1e-4)
        trainer.model.eval()
        with trainer.plain_loss():
            plain = float(trainer.compute_loss(trainer.model, dict(batch)))
    assert plain == pytest.approx(float(expected_of(trainer, batch, 0.0)), rel=1e-4)
