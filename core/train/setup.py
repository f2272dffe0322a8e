"""What is settled about a run before its trainer is built."""

from __future__ import annotations

from pathlib import Path

import msgspec

from core.config import Config
from core.train.model.precision import Precision


class Setup(msgspec.Struct, frozen=True):
    """Where a run lives and what it is made of."""

    run: Path  # its directory
    base: Path  # folder of the base model
    config: Config
    precision: Precision

    @property
    def full(self) -> bool:
        """Whether every weight is trained, not an adapter."""
        return self.config.method.kind == "full"
