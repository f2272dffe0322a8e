"""Counts what a trainer does, the same way in every environment: real tokens, time, losses.

Needs torch and transformers only, so that the peers' own environments can run it. A way to train
calls `Meter.attach()` before it starts and `Meter.report(losses)` when it has ended.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

WARM_STEPS = 2  # the first steps allocate memory and fill caches


class Task(NamedTuple):
    """What every way trains; the same rows, model, optimizer and tokens in a batch."""

    base: str  # folder of the model
    rows: str  # file of chats
    folder: str  # for what a way writes
    method: str  # "lora" or "full"
    packed: bool
    batch: int  # rows, or bins of max_length where they are packed
    steps: int  # measured ones; the warm ones and a last one come on top
    max_length: int
    rank: int
    learning_rate: float
    quantization: str = "none"
    checkpointing: bool | None = None  # None: as the way has it by default

    @property
    def all_steps(self) -> int:
        return WARM_STEPS + self.steps + 1

    @classmethod
    def read(cls) -> Task:
        """The task in the file that the command line names."""
        return cls(**json.loads(Path(sys.argv[1]).read_text()))


class Meter:
    """Real tokens, wall and processor time at the beginning of each training step."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, float, float]] = []

    def attach(self) -> None:
        """Counts every step of transformers' Trainer and of all that is made of it."""
        from transformers import Trainer

        step, steps = Trainer.training_step, self.steps

        def counted(trainer: Any, model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
            _wait_for_device()
            steps.append((real_tokens(inputs), time.perf_counter(), time.process_time()))
            return step(trainer, model, inputs, *rest, **named)

        Trainer.training_step = counted  # type: ignore[method-assign]

    def report(self, losses: list[float], **more: Any) -> None:
        """Prints one line of JSON: what was done from the first warm step to the last one."""
        kept = self.steps[WARM_STEPS:]
        facts = {
            "tokens": sum(count for count, _, _ in kept[:-1]),
            "wall_s": kept[-1][1] - kept[0][1],
            "cpu_s": kept[-1][2] - kept[0][2],
            "losses": losses,
            "peak_bytes": peak_bytes(),
            **more,
        }
        print("\n" + json.dumps({"measured": facts}), flush=True)


def real_tokens(inputs: dict[str, Any]) -> int:
    """Tokens that are not padding; a mask may number the documents of a packed row."""
    mask = inputs.get("attention_mask")
    if mask is not None and mask.dim() == 2:
        return int((mask != 0).sum())
    if mask is not None:  # (rows, 1, tokens, tokens): a padded token looks at nothing
        return int(mask.diagonal(dim1=-2, dim2=-1).ge(0).sum())
    return inputs["input_ids"].numel()


def peak_bytes() -> int:
    """The most memory that was held: of the GPU if there is one, else of the process."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _wait_for_device() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
