"""A checkpoint is read back before it counts: what lies on the disk is what the trainer holds.

Read from the page cache right after writing, tensor by tensor, so that it costs a fraction of the
writing and no second copy of the weights.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import AfinaError
from core.train.checks.findings import Diverged

if TYPE_CHECKING:
    import torch

    from core.train.objectives.recorded import RecordedTrainer

WEIGHTS = "*.safetensors"


def check(folder: Path, trainer: RecordedTrainer) -> None:
    """Reads a checkpoint back against its trainer.

    Raises OSError where the files hold something else, Diverged for weights that are no numbers,
    AfinaError for an adapter that is still zero after the warmup.
    """
    step = trainer.state.global_step
    _check_weights(folder, trainer, step)
    _check_optimizer(folder, trainer)
    warmup = trainer.args.get_warmup_steps(trainer.state.max_steps)
    if step > warmup + 1 and (folder / "adapter_config.json").is_file() and is_zero(folder):
        raise AfinaError(
            f"The adapter is still all zero at step {step}: the run changes nothing.",
            "Raise train.learning_rate, or check that the rows have supervised tokens.",
        )


def tensors(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Every weight of a folder, one at a time."""
    from safetensors import safe_open

    for path in sorted(folder.glob(WEIGHTS)):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - safe_open is no dict
                yield name, file.get_tensor(name)


def names(folder: Path) -> Iterator[str]:
    """The names of every weight of a folder."""
    from safetensors import safe_open

    for path in sorted(folder.glob(WEIGHTS)):
        with safe_open(path, framework="pt") as file:
            yield from file.keys()


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether no value is NaN or infinite; in one pass, without a mask of the tensor's size."""
    import torch

    if not tensor.is_floating_point() or tensor.numel() == 0:
        return True
    low, high = tensor.aminmax()  # NaN wins in both
    return bool(torch.isfinite(low) and torch.isfinite(high))


def is_zero(folder: Path) -> bool:
    """Whether an adapter's added products are all zero; False for adapters that have none."""
    products = [bool(tensor.any()) for name, tensor in tensors(folder) if "lora_B" in name]
    return bool(products) and not any(products)


def _check_weights(folder: Path, trainer: RecordedTrainer, step: int) -> None:
    held = _held(trainer)
    seen = 0
    for name, tensor in tensors(folder):
        if not is_finite(tensor):
            raise Diverged(step, f'weight "{name}"', float("nan"))
        there = held.get(name)
        seen += tensor.numel()
        if there is None:
            continue  # families whose files name their weights otherwise: the sum counts
        if (tensor.shape, tensor.dtype) != (there.shape, there.dtype):
            shape = f"{tuple(tensor.shape)} of {tensor.dtype}"
            raise _damaged(f'"{name}" reads back as {shape}, and the model holds another')
    if not seen:
        raise _damaged("no weights were written")
    once = {there.data_ptr(): there.numel() for there in held.values()}  # tied ones are one
    least = sum(once.values()) if not _is_adapter(trainer) else 1
    if seen < least:
        raise _damaged(f"{seen:,} numbers were written, and the model holds {least:,}")


def _held(trainer: RecordedTrainer) -> dict[str, Any]:
    """The tensors in memory by the names that they have in the files."""
    from peft import get_peft_model_state_dict

    from core.train.model import pissa

    model = trainer.accelerator.unwrap_model(trainer.model)
    if _is_adapter(trainer):
        if pissa.is_under(model):
            return {}  # written for the base as it was, in other shapes
        return get_peft_model_state_dict(model, save_embedding_layers=False)
    return model.state_dict()


def _is_adapter(trainer: RecordedTrainer) -> bool:
    from peft import PeftModel

    return isinstance(trainer.accelerator.unwrap_model(trainer.model), PeftModel)


def _check_optimizer(folder: Path, trainer: RecordedTrainer) -> None:
    """The optimizer's state loads as it will at a resume, and has a moment for every weight."""
    import torch

    path = folder / "optimizer.pt"
    if trainer.optimizer is None:
        return
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        raise _damaged(f"optimizer.pt can't be loaded: {error}") from error
    held = trainer.optimizer.state_dict()
    if state["state"].keys() != held["state"].keys():
        raise _damaged("optimizer.pt has the moments of other weights")
    for moments in state["state"].values():
        for value in moments.values():
            if isinstance(value, torch.Tensor) and not is_finite(value):
                raise Diverged(trainer.state.global_step, "optimizer's moment", float("nan"))


def _damaged(what: str) -> OSError:
    return OSError(errno.EIO, f"it doesn't read back as written: {what}")
