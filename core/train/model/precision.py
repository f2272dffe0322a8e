"""Which device a run takes and what numbers it computes with."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from core.config import Config
from core.errors import AfinaError

if TYPE_CHECKING:
    import torch

GAIN = 1.3  # bfloat16 must be this much faster to be worth its rounding


class Precision(msgspec.Struct, frozen=True):
    """Device and number type of the matrix products; trained weights are always float32."""

    device: str  # "cpu" or "cuda"
    dtype: str  # "float32" or "bfloat16"

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
    if dtype == "auto":
        dtype = "bfloat16" if _good_at_bfloat16(device) else "float32"
    return Precision(device, dtype)


def _good_at_bfloat16(device: str) -> bool:
    import torch

    if device == "cuda":
        return torch.cuda.get_device_capability() >= (8, 0)
    return _product_s(torch.float32) >= GAIN * _product_s(torch.bfloat16)


def _product_s(dtype: torch.dtype, size: int = 512, rounds: int = 7) -> float:
    """Seconds of one (size, size) matrix product: the fastest of some, others may be at work."""
    import torch

    left, right = torch.ones(size, size, dtype=dtype), torch.ones(size, size, dtype=dtype)
    best = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        torch.mm(left, right)
        best = min(best, time.perf_counter() - started)
    return best
