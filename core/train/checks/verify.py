"""A run proves its result before it is done: read from the disk, it gives the loss reported of it.

The trainer's own weights are made unusable first, so that only what the files hold can give a
number. Everything else stays as it was in training: the rows, their batches, the arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from core.errors import AfinaError
from core.events import Event
from core.train.checkpoint import readback
from core.train.release import give_back
from core.train.setup import Setup

if TYPE_CHECKING:
    import torch

    from core.train.objectives.recorded import RecordedTrainer

LONGEST_S = 60.0  # an evaluation that takes longer is proven on a part of its rows
FEW_ROWS = 64  # where nothing was measured at the end, or nothing is held out
# Of the loss. float32 comes back bit by bit in this process; a resumed run may stand on another
# device, which sums in another order. A model saved as bfloat16 has its norms and embeddings
# rounded to 8 bits, which training did not see.
EXACT, ROUNDED = 1e-5, 2**-7
NAME = "proof"  # of the adapter that is loaded beside the trained one


class Proof(msgspec.Struct, frozen=True):
    """The fields of a `proof` event."""

    loads: bool
    moved: bool | None  # the weights are others than before the run; None where nobody can tell
    eval_loss: float  # of what was read from the disk
    reported: float  # of the trainer's weights, on the same rows
    difference: float
    rows: int
    of: str  # what the rows are: "held-out rows" or "training rows"


class Claim(msgspec.Struct, frozen=True):
    """A result and what the run said of it."""

    folder: Path  # adapter/ or model/
    step: int  # whose weights it holds
    weights: Path | None  # the checkpoint that it came from; None for the trainer's own weights
    events: Sequence[Event] = ()

    @property
    def evaluation(self) -> Event | None:
        """The last evaluation of these very weights."""
        for event in reversed(self.events):
            if event.get("kind") == "eval" and event.get("step") == self.step:
                return event
        return None

    @property
    def before(self) -> float | None:
        """The eval loss before the first step."""
        first = next((e for e in self.events if e.get("kind") == "eval"), {})
        return first.get("eval_loss") if first.get("step") == 0 else None


def prove(setup: Setup, trainer: RecordedTrainer, claim: Claim) -> Proof:
    """Loads a result over its trainer, whose own weights are lost by it, and measures it.

    Raises AfinaError when the result can't be loaded, is what the run began from, or measures
    otherwise than was reported.
    """
    rows, of, reported = _measure_as_trained(trainer, claim)
    give_back()  # the model is loaded once more
    with _rows_of(trainer, rows, of):
        try:
            moved = (_load_full if setup.full else _load_adapter)(setup, trainer, claim)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise _unproven(setup, claim, f"it can't be loaded: {said[:300]}") from error
        loss = _loss(trainer)
    if moved is False:
        raise AfinaError(
            f'The result in "{claim.folder.name}" is what the run began from: nothing was learned.',
            "Raise train.learning_rate; with model.dtype=float32 small steps aren't rounded away.",
        )
    tolerance = (ROUNDED if setup.precision.autocast else EXACT) * max(1.0, abs(reported))
    if not abs(loss - reported) <= tolerance:  # so a NaN fails too
        raise _unproven(
            setup, claim, f"its loss on {rows:,} {of} is {loss:.6f} and was {reported:.6f}"
        )
    return Proof(True, moved, loss, reported, abs(loss - reported), rows, of)


def _unproven(setup: Setup, claim: Claim, what: str) -> AfinaError:
    return AfinaError(
        f'The result in "{claim.folder.name}" does not prove itself: {what}.',
        f"The weights are kept as they are, and the checkpoints in "
        f'"{setup.run / "checkpoints"}" too; resuming saves the result anew.',
    )


def _measure_as_trained(trainer: RecordedTrainer, claim: Claim) -> tuple[int, str, float]:
    """How many rows of which kind prove the result, and the loss of the trainer's weights there.

    All held-out rows where their loss is known and quickly measured again.
    """
    held_out = len(trainer.eval_dataset) if trainer.eval_dataset is not None else 0  # type: ignore[arg-type]
    event = claim.evaluation
    if held_out and event and event.get("seconds", math.inf) <= LONGEST_S:
        return held_out, "held-out rows", float(event["eval_loss"])
    of = "held-out rows" if held_out else "training rows"
    there = held_out or len(trainer.train_dataset)  # type: ignore[arg-type]
    batch = trainer.args.per_device_eval_batch_size
    rows = min(there, max(FEW_ROWS, 2 * batch) if held_out else batch)
    if claim.weights is not None:
        trainer._load_from_checkpoint(str(claim.weights))
    with _rows_of(trainer, rows, of):
        return rows, of, _loss(trainer)


@contextmanager
def _rows_of(trainer: RecordedTrainer, rows: int, of: str) -> Iterator[None]:
    """The trainer with the first so many rows to measure."""
    before: Any = trainer.eval_dataset
    every: Any = before if of == "held-out rows" else trainer.train_dataset
    trainer.eval_dataset = every if rows == len(every) else every.select(range(rows))
    try:
        yield
    finally:
        trainer.eval_dataset = before


def _loss(trainer: RecordedTrainer) -> float:
    """The loss as an evaluation measures it; a stop that is asked for waits for its end."""
    import torch

    trainer.model.eval()
    trainer.interruptible = False
    try:
        with torch.no_grad(), trainer.plain_loss():
            return trainer.measure()["eval_loss"]
    finally:
        trainer.interruptible = True


# --- adapters ---


def _load_adapter(setup: Setup, trainer: RecordedTrainer, claim: Claim) -> bool | None:
    """Puts a new adapter of the folder's settings and weights in the place of the trained one."""
    import torch

    from core.train.model import pissa

    model = trainer.accelerator.unwrap_model(trainer.model)
    moved = _adapter_moved(setup, model, claim)
    if pissa.is_under(model):
        pissa.put_back(model)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad and weight.is_floating_point():
                weight.fill_(math.nan)
    model.load_adapter(str(claim.folder), NAME, torch_device=setup.precision.device)
    model.set_adapter(NAME)
    return moved


def _adapter_moved(setup: Setup, model: Any, claim: Claim) -> bool | None:
    """Whether the adapter changes what the run began from."""
    import torch
    from safetensors.torch import load_file

    from core.train.model import adapters, pissa

    start = setup.run / adapters.START / "adapter_model.safetensors"
    tensors = dict(readback.tensors(claim.folder))
    if start.is_file():
        began = load_file(start)
    elif pissa.is_under(model):
        began = pissa.start_of(model)
        tensors = pissa.learned_half(model, tensors)
    elif any("lora_B" in name for name in tensors):
        return any(bool(tensor.any()) for name, tensor in tensors.items() if "lora_B" in name)
    elif any("ia3_l" in name for name in tensors):
        return any(bool((tensor != 1).any()) for tensor in tensors.values())
    else:
        return _loss_moved(claim)
    shared = [name for name in tensors if name in began]
    return any(not torch.equal(tensors[name].cpu(), began[name].cpu()) for name in shared)


def _loss_moved(claim: Claim) -> bool | None:
    """By the eval losses before the first step and at the end, where the weights can't be told."""
    now = claim.evaluation
    if claim.before is None or now is None:
        return None
    return claim.before != now["eval_loss"]


# --- whole models ---


def _load_full(setup: Setup, trainer: RecordedTrainer, claim: Claim) -> bool | None:
    """Loads the saved model as anybody would, and puts its weights over the trained ones."""
    import torch

    model = trainer.accelerator.unwrap_model(trainer.model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(math.nan)
    loaded = type(model).from_pretrained(
        str(claim.folder), dtype=torch.float32, use_safetensors=True, trust_remote_code=False
    )
    model.load_state_dict(loaded.state_dict())
    try:
        return _full_moved(setup, claim)
    except OSError:  # the base model's files are gone
        return _loss_moved(claim)


def _full_moved(setup: Setup, claim: Claim) -> bool | None:
    """Whether any saved weight is another than that of the base, in the type that was saved."""
    began = {name: file for file in _files(setup.base) for name in _names(file)}
    shared = False
    for name, tensor in readback.tensors(claim.folder):
        if name not in began:
            continue  # a new head, or a family whose files name their weights otherwise
        shared = True
        before = _tensor(began[name], name).to(tensor.dtype)
        if before.shape != tensor.shape or bool((before != tensor).any()):
            return True
    return False if shared else _loss_moved(claim)


def _files(folder: Path) -> list[Path]:
    files = sorted(folder.glob(readback.WEIGHTS))
    if not files:
        raise FileNotFoundError(folder)
    return files


def _names(file: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        return list(opened.keys())


def _tensor(file: Path, name: str) -> torch.Tensor:
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        return opened.get_tensor(name)
