"""A result is what the trainer held: proven from the disk, for every method and objective."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import AfinaError
from core.runs.run import Run
from core.train.checkpoint import result
from core.train.checkpoint.progress import Progress
from core.train.checks import verify
from core.train.checks.verify import Claim, Proof
from tests.core.train.conftest import Configure, chat_rows, write_rows
from tests.core.train.test_build import Assemble

SHORT = ("train.max_steps=3", "method.rank=4", "method.alpha=8", "train.warmup_ratio=0")
METHODS = {  # the others are proven in test_methods, at the end of real runs
    "lora-bf16": ("model.dtype=bfloat16",),
    "pissa": ("method.init_lora_weights=pissa", "method.rslora=true"),
    "pissa-bf16": ("method.init_lora_weights=pissa", "model.dtype=bfloat16"),
    "saved": ("method.modules_to_save=embed_tokens, lm_head", "method.target_modules=v_proj"),
    "prompt": ("method.kind=prompt", "method.num_virtual_tokens=5"),
    "full": ("method.kind=full", "train.learning_rate=1e-3"),
    "full-bf16": ("method.kind=full", "model.dtype=bfloat16", "train.learning_rate=1e-2"),
}
ROWS: dict[str, Callable[[int], dict[str, Any]]] = {
    "dpo": lambda i: {"prompt": f"Who eats {i}?", "chosen": f"We {i}.", "rejected": "Nobody."},
    "kto": lambda i: {"prompt": f"Who eats {i}?", "completion": f"We {i}.", "label": i % 2 == 0},
    "classification": lambda i: {"text": f"Bread {i} " * (1 + i % 3), "label": "ab"[i % 2]},
}


def saved(trainer: Any) -> Claim:
    """The result of a trainer that has trained, and what was said of it."""
    trainer.train()
    setup, step = trainer.setup, trainer.state.global_step
    folder = result.save(setup, trainer, Progress(), step, None)
    return Claim(folder, step, None, Run(setup.run).events())


def prove(trainer: Any) -> Proof:
    return verify.prove(trainer.setup, trainer, saved(trainer))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_proves_its_result(
    method: str, assemble: Assemble, configure: Configure
) -> None:
    trainer = assemble(configure(*SHORT, *METHODS[method]))
    proven = prove(trainer)
    assert (proven.loads, proven.moved, proven.of) == (True, True, "held-out rows")
    rounded = "bf16" in method or method.startswith("pissa")
    assert proven.difference <= (5e-3 if rounded else 0.0)


@pytest.mark.parametrize(
    ("objective", "kind"), [("dpo", "lora"), ("kto", "full"), ("classification", "lora")]
)
def test_every_objective_proves_its_result(
    objective: str, kind: str, assemble: Assemble, configure: Configure, tmp_path: Path
) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", [ROWS[objective](i) for i in range(24)])
    words = (f"data.path={rows}", "data.eval_fraction=0.2", f"method.kind={kind}")
    proven = prove(assemble(configure(*SHORT, *words)))
    assert (proven.moved, proven.difference) == (True, 0.0)


def test_without_held_out_rows_training_rows_prove_it(
    assemble: Assemble, configure: Configure
) -> None:
    for packing in ("on", "off"):
        words = ("data.eval_fraction=0", f"train.packing={packing}")
        trainer = assemble(configure(*SHORT, *words))
        proven = prove(trainer)
        assert (proven.of, proven.difference, proven.moved) == ("training rows", 0.0, True)
        assert trainer.eval_dataset is None


def test_a_slow_evaluation_is_repeated_on_some_of_its_rows(
    assemble: Assemble, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "LONGEST_S", 0.0)
    monkeypatch.setattr(verify, "FEW_ROWS", 3)
    rows = write_rows(tmp_path / "more.jsonl", chat_rows(60))
    words = (f"data.path={rows}", "data.eval_fraction=0.5", "train.per_device_train_batch_size=2")
    trainer = assemble(configure(*SHORT, *words))
    proven = prove(trainer)
    assert (proven.rows, proven.of, proven.difference) == (4, "held-out rows", 0.0)
    assert len(trainer.eval_dataset) == 30


def _scale(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: one * 1.5 if "lora_B" in name else one for name, one in weights.items()}


def _lose_one(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return dict(list(weights.items())[2:])


@pytest.mark.parametrize("harm", [_scale, _lose_one])
@pytest.mark.parametrize("kind", ["lora", "full"])
def test_a_result_that_was_written_otherwise_fails_and_is_kept(
    harm: Callable[..., Any], kind: str, assemble: Assemble, configure: Configure
) -> None:
    if harm is _scale and kind == "full":
        harm = lambda weights: {name: one * 1.1 for name, one in weights.items()}  # noqa: E731
    trainer = assemble(configure(*SHORT, f"method.kind={kind}"))
    claim = saved(trainer)
    (path,) = claim.folder.glob("*.safetensors")
    save_file(harm(load_file(path)), path, {"format": "pt"})
    with pytest.raises(AfinaError, match="does not prove itself"):
        verify.prove(trainer.setup, trainer, claim)
    assert path.is_file()


def test_a_result_that_is_the_base_is_refused(assemble: Assemble, configure: Configure) -> None:
    words = ("model.dtype=bfloat16", "method.kind=full", "train.learning_rate=1e-9")
    trainer = assemble(configure(*SHORT, *words))
    claim = saved(trainer)
    base = {
        name: one.to(torch.bfloat16)
        for name, one in load_file(trainer.setup.base / "model.safetensors").items()
    }
    save_file(base, claim.folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(AfinaError, match="nothing was learned"):
        verify.prove(trainer.setup, trainer, claim)
