"""What a step computes with noise on the embeddings, and with activations computed twice."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

from tests.core.train.conftest import Configure
from tests.core.train.optim.conftest import Assemble

METHODS = ["method.kind=full", "method.rank=4"]


def gradients(trainer: Any) -> dict[str, torch.Tensor]:
    """Of a training step on the first batch, by parameter."""
    trainer.create_optimizer()
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.zero_grad()
    trainer.training_step(trainer.model, next(iter(trainer.get_train_dataloader())))
    named = trainer.model.named_parameters()
    return {name: p.grad.clone() for name, p in named if p.grad is not None}


@pytest.mark.parametrize("method", METHODS)
def test_checkpointing_changes_no_gradient_and_warns_of_nothing(
    method: str, assemble: Assemble, configure: Configure
) -> None:
    plain = gradients(assemble(configure(method)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        thrifty = assemble(configure(method, "train.gradient_checkpointing=true"))
        assert thrifty.args.gradient_checkpointing
        thrifty.model.gradient_checkpointing_enable({"use_reentrant": False})
        saved = gradients(thrifty)
    assert not [w for w in caught if "`gradient_checkpointing` is deprecated" in str(w.message)]
    assert saved.keys() == plain.keys() and saved
    for name, gradient in plain.items():
        torch.testing.assert_close(saved[name], gradient, rtol=1e-5, atol=1e-7)


def test_checkpointing_of_a_frozen_base_teaches_its_adapter(
    assemble: Assemble, configure: Configure
) -> None:
    words = ("train.gradient_checkpointing=true", "train.max_steps=2", "data.eval_fraction=0")
    trainer = assemble(configure(*words))
    trainer.train()
    assert (
        trainer.accelerator.unwrap_model(trainer.model).get_base_model().is_activation_checkpointing
    )
    taught = [p for name, p in trainer.model.named_parameters() if ".lora_B" in name]
    assert taught and all(bool(parameter.any()) for parameter in taught)


@pytest.mark.parametrize("method", METHODS)
def test_noise_is_in_the_steps_and_not_in_the_evaluation(
    method: str, assemble: Assemble, configure: Configure
) -> None:
    words = (method, "data.eval_fraction=0.3")
    plain = assemble(configure(*words))
    noisy = assemble(configure(*words, "train.neftune_noise_alpha=5"))
    assert noisy.evaluate()["eval_loss"] == plain.evaluate()["eval_loss"]
    quiet, loud = gradients(plain), gradients(noisy)
    changed = [name for name, value in quiet.items() if not torch.equal(value, loud[name])]
    assert changed
    assert noisy.evaluate()["eval_loss"] == plain.evaluate()["eval_loss"]
