"""Two real steps of a run at its heaviest batch, and what they took. Runs in a process of its own.

The model, the adapter, the trainer and its loop are those of the run. Nothing is saved, evaluated
or told.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from core.config import Config
from core.runs.run import Run
from core.train import memory
from core.train.callback import RunCallback
from core.train.checkpoint.progress import Progress
from core.train.loader.dataset import Encoded
from core.train.probe.request import Measured, Order
from core.train.release import give_back
from core.train.setup import Setup

STEPS = 2
# Short steps go on for so long: for their time, and because on a CPU memory grows over the first
# ones by pieces that don't fit together again (of large models they are given back at once)
MOST_STEPS, ENOUGH_S = 8, 15.0
# What a run on a CPU holds more after its first steps, of batches that leave other holes: runs of 6
# to 60 steps held 0.98 to 1.12 times what these few did, 1.05 in the middle (benchmarks/probe.py)
GROWTH = 1.05
MOST_ACCUMULATED = 2  # from the second pass on, gradients lie in memory through a whole pass


class Watcher(RunCallback):
    """Times the steps and does nothing else that the callback of a run does."""

    def __init__(self, run: Path, config: Config, progress: Progress, device: str) -> None:
        super().__init__(_Silent(run), config, progress, _NeverAsked(), lambda step: 0)  # type: ignore[arg-type]
        self.device = device
        self.seconds: list[float] = []
        self._begun = 0.0

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        pass

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        self._begun = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.device == "cuda":
            import torch

            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self._begun)
        later = self.seconds[1:]  # the first one allocates, and makes the optimizer's state
        if len(self.seconds) >= STEPS and sum(later) >= ENOUGH_S:
            control.should_training_stop = True

    def on_log(self, *args: Any, **kwargs: Any) -> None:
        pass

    def on_evaluate(self, *args: Any, **kwargs: Any) -> None:
        pass

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        pass


class _Silent:
    """Stands where a run's worker is: whatever it is told goes nowhere."""

    def __init__(self, run: Path) -> None:
        self.job = Run(run)

    def event(self, kind: str, **fields: Any) -> int:
        return 0

    def update(self, state: str | None = None, **fields: Any) -> None:
        pass


class _NeverAsked:
    """Stands where a run's requests are: nobody asks for anything."""

    def stop_asked(self) -> bool:
        return False

    def wants(self, action: str) -> bool:
        return False


class Heaviest:
    """A few batches in turn, in the place of a trainer's data loader."""

    def __init__(self, batches: list[dict[str, Any]], times: int) -> None:
        self.batches = batches
        self.times = times

    def __len__(self) -> int:
        return self.times

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in islice(cycle(self.batches), self.times):
            yield dict(batch)


def measure(order: Order, encoded: Encoded) -> Measured:
    """Builds the trainer of a run and lets it take a few steps. Raises what torch raises."""
    from core.train.objectives.recorded import real_tokens
    from core.train.probe.worst_batch import heaviest_batches

    trainer, watcher = _trainer(order, encoded)
    device, accumulated = watcher.device, trainer.args.gradient_accumulation_steps
    passes = MOST_STEPS * accumulated
    batches = heaviest_batches(trainer, passes)
    loaded = memory.peak_bytes(device)
    trainer.get_train_dataloader = lambda: Heaviest(batches, passes)
    memory.forget(device)
    _shorten_evaluation(trainer)
    trainer.train()
    most = max(loaded, memory.peak_bytes(device), _while_saving(trainer, device))
    if device != "cuda":
        most = round(GROWTH * most)
    tokens = [real_tokens(batch) for batch in islice(cycle(batches), passes)]
    timed = sum(tokens[accumulated : accumulated * len(watcher.seconds)])
    return Measured(
        tokens=tokens[0],
        peak_bytes=most,
        device_bytes=_on_device(device, most),
        loaded_bytes=loaded,
        step_s=sum(watcher.seconds[1:]) * tokens[0] / timed,
    )


def _shorten_evaluation(trainer: Any) -> None:
    """Leaves a few of the longest rows to the evaluation that a run begins with."""
    from core.train.loader.sampler import lengths_of

    held_out = trainer.eval_dataset
    if held_out is None:
        return
    longest = lengths_of(held_out).argsort()[::-1][: 2 * trainer.args.per_device_eval_batch_size]
    trainer.eval_dataset = held_out.select(longest.tolist())


def _while_saving(trainer: Any, device: str) -> int:
    """The memory at a checkpoint, which a run adds: safetensors copies the weights that it writes,
    and the optimizer's state is mapped to be read back. Counted, for a disk may have no room.

    On a GPU both lie in the host's memory.
    """
    if device == "cuda":
        return 0
    learning = sum(p.nbytes for p in trainer.model.parameters() if p.requires_grad)
    whole = sum(p.nbytes for p in trainer.model.parameters())
    copied = whole if trainer.setup.full else learning
    state = trainer.optimizer.state_dict()["state"].values()
    mapped = sum(getattr(value, "nbytes", 0) for each in state for value in each.values())
    give_back()
    return (memory.resident_bytes() or 0) + memory.unmapped_bytes() + max(copied, mapped)


def _trainer(order: Order, encoded: Encoded) -> tuple[Any, Watcher]:
    """The trainer of the run, with another batch and no more than a few steps."""
    from core.train import build
    from core.train.checks import preflight
    from core.train.model import precision
    from core.train.model.load import load_model
    from core.train.model.tokenizer import load_tokenizer

    wanted = order.config.laid_over(order.options)
    chosen = precision.choose(wanted)
    accumulated = min(MOST_ACCUMULATED, wanted.train.gradient_accumulation_steps)
    probed = wanted.laid_over(
        {
            "train.per_device_train_batch_size": order.micro_batch,
            "train.gradient_accumulation_steps": accumulated,
            "train.max_steps": MOST_STEPS,
        }
    )
    setup = Setup(order.run, order.base, probed, chosen)
    model = load_model(setup, encoded)
    tokenizer = load_tokenizer(order.base)
    # packed or not goes by the steps of the whole run, not by the few of this one
    layout = build.choose_layout(model, wanted, encoded, setup.precision.autocast)
    progress = Progress()
    watcher = Watcher(order.run, probed, progress, chosen.device)
    preflight.check_targets(probed, model)
    parts = build.Parts(setup, encoded, model, tokenizer, watcher)
    return build.build_trainer(parts, layout), watcher


def _on_device(device: str, peak_bytes: int) -> int:
    """What the steps took of the device: with torch's reserve, and the context beside it."""
    if device != "cuda":
        return peak_bytes
    import torch

    free, total = torch.cuda.mem_get_info()
    beside = max(0, total - free - torch.cuda.memory_reserved())
    return torch.cuda.max_memory_reserved() + beside
