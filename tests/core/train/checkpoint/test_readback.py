"""What a checkpoint must read back as, before it counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.train.checkpoint import manifest, readback
from core.train.checks.findings import Diverged
from tests.core.train.conftest import Configure
from tests.core.train.test_build import Assemble

Change = Callable[[Path], None]


def saved(trainer: Any, folder: Path, change: Change = lambda folder: None) -> None:
    """A checkpoint of the trainer, changed on the disk before it is read back."""

    def fill(target: Path) -> None:
        trainer.save_weights(target)
        trainer._save_optimizer_and_scheduler(str(target))
        change(target)
        readback.check(target, trainer)

    manifest.write(folder, trainer.state.global_step, fill, {})


def rewrite(name: str, change: Callable[[torch.Tensor], torch.Tensor | None]) -> Change:
    """Puts another tensor in the place of one weight; none leaves it out."""

    def apply(folder: Path) -> None:
        (path,) = folder.glob("*.safetensors")
        tensors = load_file(path)
        (found,) = [key for key in tensors if name in key]
        other = change(tensors.pop(found))
        save_file(tensors | ({} if other is None else {found: other}), path, {"format": "pt"})

    return apply


def cut_optimizer(folder: Path) -> None:
    path = folder / "optimizer.pt"
    path.write_bytes(path.read_bytes()[:-100])


def forget_moments(folder: Path) -> None:
    state = torch.load(folder / "optimizer.pt", weights_only=True)
    state["state"].popitem()
    torch.save(state, folder / "optimizer.pt")


def test_what_was_written_well_reads_back(
    assemble: Assemble, configure: Configure, tmp_path: Path
) -> None:
    for kind in ("lora", "full"):
        trainer = assemble(configure(f"method.kind={kind}", "train.max_steps=2"))
        trainer.train()
        saved(trainer, tmp_path / kind)
        assert manifest.damage(tmp_path / kind) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (rewrite("layers.0.self_attn.q_proj", lambda one: one[:-1].clone()), "model holds another"),
        (rewrite("layers.0.self_attn.q_proj", lambda one: one.half()), "model holds another"),
        (rewrite("layers.0.self_attn.q_proj", lambda one: None), "numbers were written"),
        (cut_optimizer, "optimizer.pt can't be loaded"),
        (forget_moments, "moments of other weights"),
    ],
)
def test_a_checkpoint_that_reads_back_otherwise_is_not_kept(
    change: Change, words: str, assemble: Assemble, configure: Configure, tmp_path: Path
) -> None:
    trainer = assemble(configure("method.kind=full", "train.max_steps=1"))
    trainer.train()
    with pytest.raises(OSError, match=words):
        saved(trainer, tmp_path / "step-000001", change)
    assert list(tmp_path.glob("step-*")) == []


def test_weights_that_are_no_numbers_are_never_a_checkpoint(
    assemble: Assemble, configure: Configure, tmp_path: Path
) -> None:
    trainer = assemble(configure("train.max_steps=1"))
    trainer.train()
    spoil = rewrite("layers.0.self_attn.q_proj.lora_A", lambda one: one * float("nan"))
    with pytest.raises(Diverged, match="lora_A"):
        saved(trainer, tmp_path / "step-000001", spoil)
    assert list(tmp_path.glob("step-*")) == []


def test_an_adapter_that_is_zero_after_the_warmup_ends_the_run(
    assemble: Assemble, configure: Configure, tmp_path: Path
) -> None:
    trainer = assemble(configure("train.max_steps=3", "train.warmup_ratio=0"))
    trainer.train()
    with torch.no_grad():
        for name, weight in trainer.model.named_parameters():
            weight.mul_(0.0 if "lora_B" in name else 1.0)
    with pytest.raises(Exception, match="still all zero at step 3"):
        saved(trainer, tmp_path / "step-000003")
