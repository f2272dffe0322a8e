"""Which device a run takes and what numbers it computes with, by a short measurement."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from core.config import Config
from core.errors import AfinaError
from core.runs.finding import Finding

if TYPE_CHECKING:
    import torch

GAIN = 1.3  # bfloat16 must be this much faster to be worth its rounding


class Precision(msgspec.Struct, frozen=True):
    """Device and number type of the matrix products; trained weights are always float32.

    float16 is none of the types: its gradients overflow, and its steps get lost, without a scaled
    loss; every GPU that multiplies bfloat16 (from Ampere on) does better without.
    """

    device: str  # "cpu" or "cuda"
    dtype: str  # "float32" or "bfloat16"
    gain: float | None = None  # how many times as fast bfloat16 was; None: not measured
    chosen: bool = False  # by us, not by the configuration or an earlier process

    @property
    def autocast(self) -> bool:
        return self.dtype == "bfloat16"


def choose(config: Config, recorded: str = "") -> Precision:
    """The device there is and the type it is good at; a resumed run keeps its type."""
    import torch

    device = config.launch.device
    if device == "cuda" and not torch.cuda.is_available():
        raise AfinaError(
            "launch.device is cuda, and torch sees no GPU.",
            "Set launch.device to auto or cpu, or install a torch built for this GPU "
            "(`afina doctor` shows the one that is there).",
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = recorded or config.model.dtype
    if dtype != "auto":
        return Precision(device, dtype)
    if device == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return Precision(device, "float32", chosen=True)
    gain = product_s(device, torch.float32) / product_s(device, torch.bfloat16)
    dtype = "bfloat16" if gain >= GAIN else "float32"
    return Precision(device, dtype, round(gain, 2), chosen=True)


def findings(precision: Precision) -> Iterator[Finding]:
    """What is worth telling of the choice."""
    if precision.chosen and precision.device == "cuda" and precision.gain is None:
        yield Finding(
            "note",
            "This GPU multiplies no bfloat16 by itself, so the run computes in float32.",
            "float16 is never taken in its place; model.dtype=bfloat16 would be emulated.",
        )


def peak_flops(precision: Precision) -> float | None:
    """Operations a second of a large product, as the run's are: what an MFU is measured by.

    None where the memory is too full to measure.
    """
    import torch

    size = 8192 if precision.device == "cuda" else 1024  # where they are near their best
    dtype = torch.bfloat16 if precision.autocast else torch.float32
    try:
        return 2 * size**3 / product_s(precision.device, dtype, size)
    except torch.OutOfMemoryError:
        return None


def product_s(device: str, dtype: torch.dtype, size: int = 512, rounds: int = 7) -> float:
    """Seconds of one (size, size) matrix product: the fastest of some, others may be at work."""
    import torch

    left, right = (torch.ones(size, size, dtype=dtype, device=device) for _ in range(2))
    best = float("inf")
    for _ in range(rounds):
        _wait_for(device)
        started = time.perf_counter()
        torch.mm(left, right)
        _wait_for(device)
        best = min(best, time.perf_counter() - started)
    return best


def _wait_for(device: str) -> None:
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
