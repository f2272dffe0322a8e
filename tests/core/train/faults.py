"""What a test breaks in a worker process, given to `Worker.start`; each function can be pickled."""

from __future__ import annotations

import ctypes
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def _around_steps(look: Callable[[Any, dict[str, Any]], None]) -> None:
    """Calls `look(trainer, batch)` before each micro-batch."""
    from core.train.objectives.recorded import RecordedTrainer

    before = RecordedTrainer.training_step

    def training_step(self: Any, model: Any, inputs: dict[str, Any], *rest: Any) -> Any:
        look(self, inputs)
        return before(self, model, inputs, *rest)

    RecordedTrainer.training_step = training_step


def note_rows() -> None:
    """Writes step and tokens of every micro-batch to rows.jsonl in the run's directory."""

    def look(trainer: Any, inputs: dict[str, Any]) -> None:
        with open("rows.jsonl", "a") as file:
            ids = inputs["input_ids"].flatten().tolist()
            file.write(json.dumps([trainer.state.global_step + 1, ids]) + "\n")

    _around_steps(look)


def hang_in_a_step() -> None:
    """A step is one call that lasts and lets other threads run, as a large product does."""

    def look(trainer: Any, inputs: dict[str, Any]) -> None:
        if trainer.state.global_step == 1:
            Path("hangs").touch()
            ctypes.CDLL(None).sleep(3600)

    _around_steps(look)


def read_few_rows_at_once() -> None:
    """Streamed rows come in blocks of 64."""
    from core.train.loader import stream

    stream.BLOCK_ROWS = 64


def run_out_of_memory(step: int, least_rows: int = 2) -> None:
    """The device has no memory at a step, as long as the micro-batch has so many rows."""

    def look(trainer: Any, inputs: dict[str, Any]) -> None:
        at = trainer.state.global_step + 1
        if at == step and trainer.args.per_device_train_batch_size >= least_rows:
            torch.rand(3)  # as dropout had done before it failed
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    note_rows()
    _around_steps(look)


def run_out_of_memory_evaluating(step: int) -> None:
    """The device has no memory for the held-out rows at the micro-batch of the configuration."""
    from core.train.objectives.recorded import RecordedTrainer

    before = RecordedTrainer.eval_batches

    def eval_batches(self: Any) -> Any:
        if self.state.global_step == step and self.args.per_device_train_batch_size > 2:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return before(self)

    RecordedTrainer.eval_batches = eval_batches


def diverge(steps: tuple[int, ...]) -> None:
    """The weights are ruined by the update before each of these steps, the first time it comes."""
    left = list(steps)

    def look(trainer: Any, inputs: dict[str, Any]) -> None:
        if trainer.state.global_step + 1 in left:
            left.remove(trainer.state.global_step + 1)
            with torch.no_grad():
                next(p for p in trainer.model.parameters() if p.requires_grad).fill_(float("nan"))

    note_rows()
    _around_steps(look)


def spike(step: int, factor: float) -> None:
    """The loss of a step is so many times too high, the first time it comes."""
    from core.train.objectives.sft import SFTRunTrainer

    before = SFTRunTrainer.training_step
    left = [step]

    def training_step(self: Any, *args: Any, **kwargs: Any) -> Any:
        loss = before(self, *args, **kwargs)
        if self.state.global_step + 1 in left:
            left.clear()
            return loss * factor
        return loss

    SFTRunTrainer.training_step = training_step


def fail_to_save(number: int, times: int) -> None:
    """Writing the optimizer's state fails so many times, as on a disk that takes no more."""
    from core.train.objectives.recorded import RecordedTrainer

    before = RecordedTrainer._save_all
    left = [times]

    def save_all(self: Any, folder: Any) -> None:
        before(self, folder)
        if left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))

    RecordedTrainer._save_all = save_all


def make_the_disk_small(count: int) -> None:
    """The disk has room for so many checkpoints."""
    from core.train.checkpoint import disk_space

    class Usage:
        def __init__(self, run: Path) -> None:
            folders = [f for f in (run / "checkpoints").glob("step-*") if f.is_dir()]
            sizes = [sum(f.stat().st_size for f in folder.iterdir()) for folder in folders]
            size = max(sizes, default=0)
            self.free = int((count - len(sizes) + 0.2) * size) + disk_space.MARGIN_BYTES

    disk_space.disk_usage = Usage  # type: ignore[assignment]


def refuse_events(after: int, until: int) -> None:
    """The disk takes no events and no state between two steps."""
    import core.jobs
    from core.train.event_log import EventLog

    before, write = EventLog.step, core.jobs.write_atomic
    full = [False]

    def step(self: Any, state: Any, *rest: Any) -> None:
        full[0] = after <= state.global_step < until
        before(self, state, *rest)

    def refusing(path: Any, content: Any) -> None:
        if full[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, content)

    def guarded(file: Any) -> Any:
        return _Full(file, full)

    EventLog.step = step  # type: ignore[method-assign]
    core.jobs.write_atomic = refusing  # type: ignore[assignment]
    writer = core.jobs.PatientWriter
    init = writer.__init__

    def made(self: Any, path: Any) -> None:
        init(self, path)
        self._file = guarded(self._file)

    writer.__init__ = made  # type: ignore[method-assign]


class _Full:
    """A file on a disk that is full now and then; it takes a part of a line first."""

    def __init__(self, file: Any, full: list[bool]) -> None:
        self.file, self.full, self.begun = file, full, False

    def write(self, data: bytes) -> int:
        if not self.full[0]:
            self.begun = False
            return self.file.write(data)
        if not self.begun:
            self.begun = True
            return self.file.write(bytes(data[:7]))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        self.file.close()


def no_hub_beside(cache: str) -> None:
    """The hub's cache lies there, and the hub can't be reached."""
    from huggingface_hub import constants

    constants.HF_HUB_CACHE, constants.HF_HUB_OFFLINE = cache, True
