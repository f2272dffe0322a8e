"""MFU: the operations that the steps needed, as a share of what the device can multiply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.config import Config
from core.plan.flops import Batch, has_experts, step_flops
from core.plan.model_shape import ModelShape, read_shape

if TYPE_CHECKING:
    import torch

    from core.train.setup import Setup


class Meter:
    """Sums what goes through the model, on the device: no step waits for a count."""

    def __init__(self, shape: ModelShape, config: Config) -> None:
        self._shape = shape
        self._config = config
        self._seen: torch.Tensor | None = None  # (3,): the fields of a Batch

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
        seen = counts_of(inputs)
        self._seen = seen if self._seen is None else self._seen + seen

    @property
    def flops(self) -> float:
        """Operations that all the batches needed: they grow evenly with each count."""
        if self._seen is None:
            return 0.0
        return step_flops(self._shape, self._config, Batch(*self._seen.tolist())).needed

    def mfu(self, seconds: float, peak: float) -> float | None:
        """Share of the peak (operations a second); None before the first step."""
        flops = self.flops
        if not flops or seconds <= 0 or peak <= 0:
            return None
        return flops / seconds / peak


def counts_of(inputs: dict[str, Any]) -> torch.Tensor:
    """The fields of a Batch: padding is no work that a step needs. (3,)"""
    import torch

    if "cu_seq_lens_q" in inputs:
        lengths = inputs["cu_seq_lens_q"].diff().double()
    elif "attention_mask" in inputs:
        lengths = inputs["attention_mask"].sum(1).double()
    else:
        rows, tokens = inputs["input_ids"].shape
        lengths = torch.full((rows,), float(tokens), dtype=torch.float64)
    predicted = (inputs["labels"][:, 1:] != -100).sum().to(lengths)
    return torch.stack([lengths.sum(), lengths.square().sum(), predicted])
