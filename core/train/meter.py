"""MFU: the operations that the steps needed, as a share of what the device can multiply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.config import Config
from core.plan.memory import ModelShape, read_shape
from core.train.flops import Batch, has_experts, step_flops

if TYPE_CHECKING:
    from core.train.setup import Setup


class Meter:
    """Sums the operations of the batches of this process."""

    def __init__(self, shape: ModelShape, config: Config) -> None:
        self._shape = shape
        self._config = config
        self.flops = 0.0

    @classmethod
    def of_run(cls, setup: Setup) -> Meter | None:
        """None where nobody knows what a step needs: experts, or a loss of somebody's own."""
        shape = read_shape(setup.base)
        if has_experts(shape) or setup.config.train.custom_loss:
            return None
        return cls(shape, setup.config)

    def saw(self, inputs: dict[str, Any]) -> None:
        """Counts a batch of sft; other batches go through the model more than once."""
        if "labels" not in inputs or inputs["labels"].shape != inputs["input_ids"].shape:
            return
        self.flops += step_flops(self._shape, self._config, batch_of(inputs)).needed

    def mfu(self, seconds: float, peak: float) -> float | None:
        """Share of the peak (operations a second); None before the first step."""
        if not self.flops or seconds <= 0 or peak <= 0:
            return None
        return self.flops / seconds / peak


def batch_of(inputs: dict[str, Any]) -> Batch:
    """What goes through the model; padding is no work that a step needs."""
    predicted = int((inputs["labels"][:, 1:] != -100).sum())
    if "cu_seq_lens_q" in inputs:
        lengths = inputs["cu_seq_lens_q"].diff()
    elif "attention_mask" in inputs:
        lengths = inputs["attention_mask"].sum(1)
    else:
        rows, tokens = inputs["input_ids"].shape
        return Batch(rows * tokens, rows * tokens**2, predicted)
    return Batch(int(lengths.sum()), int((lengths.long() ** 2).sum()), predicted)
