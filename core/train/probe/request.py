"""What a probe's child is asked for, and what it answers. Loads no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from core.config import Config


class Order(msgspec.Struct, frozen=True):
    """What is to be measured."""

    run: Path  # a run's directory, with what its making put there
    base: Path
    config: Config  # of the run
    micro_batch: int
    options: dict[str, Any] = {}  # dotted names laid over the configuration, as a fix would


class Measured(msgspec.Struct, frozen=True):
    """What came out."""

    tokens: int  # real ones in one pass
    peak_bytes: int  # of the process; on a GPU what torch allocated there
    device_bytes: int  # on a GPU with torch's reserve and the driver's context; else peak_bytes
    loaded_bytes: int  # the peak until the trainer stood
    step_s: float  # of one pass, its share in the optimizer's step included
