"""Which weights an optimizer moves, how, and that its state goes on where it was saved."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from bitsandbytes.optim.adamw import AdamW8bit
from torch.optim import AdamW
from transformers.optimization import Adafactor

from core.runs.run import Run
from core.train.checkpoint import manifest
from core.train.optim.muon import MuonWithAdamW
from core.train.optim.optimizer import hidden_matrices, optimizer
from tests.core.train.conftest import Configure
from tests.core.train.optim.conftest import Assemble

KINDS = {"adamw": AdamW, "adamw_8bit": AdamW8bit, "adafactor": Adafactor, "muon": MuonWithAdamW}


def learned(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_run_goes_on_from_a_checkpoint_bit_by_bit(
    kind: str, method: str, assemble: Assemble, configure: Configure
) -> None:
    # blocks of 8-bit moments want more than 4096 weights in a matrix
    rank = "method.rank=160" if kind == "adamw_8bit" else "method.rank=4"
    config = configure(
        f"train.optim={kind}",
        f"method.kind={method}",
        rank,
        "method.dropout=0.1",
        "train.neftune_noise_alpha=5",
        "train.learning_rate=1e-3",
        "train.weight_decay=0.1",
        "train.max_steps=5",
        "checkpoint.every_steps=3",
        "data.eval_fraction=0",
    )
    whole = assemble(config)
    assert whole.args.max_steps == 5
    before = learned(whole.model)
    whole.train()
    assert isinstance(whole.optimizer.optimizer, KINDS[kind])
    run = Run(whole.setup.run)
    again = assemble(config, run)
    again.train(resume_from_checkpoint=str(manifest.step_folder(run.directory, 3)))
    after, resumed = learned(whole.model), learned(again.model)
    assert all(not torch.equal(before[name], after[name]) for name in before)
    assert all(torch.equal(after[name], resumed[name]) for name in after)
    if kind == "adamw_8bit":
        kept = {state["state1"].dtype for state in whole.optimizer.state.values()}
        assert torch.uint8 in kept


def test_norms_biases_and_other_vectors_do_not_decay(
    assemble: Assemble, configure: Configure
) -> None:
    for words in (["method.kind=full"], ["method.dora=true"]):
        trainer = assemble(configure("train.weight_decay=0.1", *words))
        decay, rest = trainer.create_optimizer().param_groups
        assert (decay["weight_decay"], rest["weight_decay"]) == (0.1, 0.0)
        assert all(parameter.ndim == 2 for parameter in decay["params"])
        assert all(parameter.ndim == 1 for parameter in rest["params"])
        count = sum(p.requires_grad for p in trainer.model.parameters())
        assert len(decay["params"]) + len(rest["params"]) == count


def test_muon_takes_the_matrices_inside_the_blocks_only(
    assemble: Assemble, configure: Configure
) -> None:
    trainer = assemble(configure("method.kind=full", "train.optim=muon"))
    names = {id(p): name for name, p in trainer.model.named_parameters()}
    chosen = {names[id(parameter)] for parameter in hidden_matrices(trainer.model)}
    assert len(chosen) == 2 * 7
    assert all(".layers." in name and name.endswith("_proj.weight") for name in chosen)
    groups = trainer.create_optimizer().param_groups
    by_muon = {names[id(p)] for group in groups if group["muon"] for p in group["params"]}
    assert by_muon == chosen
    lora = assemble(configure("train.optim=muon"))
    assert len(hidden_matrices(lora.model)) == 2 * 7 * 2


def test_muon_steps_as_its_two_optimizers_would_alone(
    assemble: Assemble, configure: Configure
) -> None:
    config = configure("method.kind=full", "train.optim=muon", "train.weight_decay=0.1")
    trainer = assemble(config)
    model, batch = trainer.model, next(iter(trainer.get_train_dataloader()))
    together = trainer.create_optimizer()
    alone = {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters()}
    matrices = {id(p) for p in hidden_matrices(model)}
    split: dict[bool, list[Any]] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        split[id(parameter) in matrices].append(alone[name])
    norms = [p for p in split[False] if p.ndim == 1]
    rest = [p for p in split[False] if p.ndim > 1]
    rate = config.train.learning_rate
    apart = [
        torch.optim.Muon(split[True], lr=rate, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        AdamW(
            [{"params": rest}, {"params": norms, "weight_decay": 0.0}], lr=rate, weight_decay=0.1
        ),
    ]
    for _ in range(3):
        trainer.compute_loss(model, dict(batch)).backward()
        for name, parameter in model.named_parameters():
            alone[name].grad = parameter.grad.clone()
        together.step()
        together.zero_grad()
        for part in apart:
            part.step()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), alone[name].detach(), rtol=1e-5, atol=1e-6)


def test_the_first_step_of_the_default_schedule_teaches(
    assemble: Assemble, configure: Configure
) -> None:
    trainer = assemble(configure("train.max_steps=1", "data.eval_fraction=0"))
    before = learned(trainer.model)
    trainer.train()
    moved = [name for name, value in learned(trainer.model).items() if ".lora_B" in name]
    assert moved and all(
        not torch.equal(before[name], learned(trainer.model)[name]) for name in moved
    )


def test_without_bitsandbytes_the_8_bit_optimizer_says_what_to_install(
    assemble: Assemble, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from core.errors import AfinaError

    monkeypatch.setitem(sys.modules, "bitsandbytes.optim.adamw", None)
    model = torch.nn.Linear(2, 2)
    with pytest.raises(AfinaError, match="bitsandbytes is not installed"):
        optimizer(model, configure("train.optim=adamw_8bit"), ["weight"])
