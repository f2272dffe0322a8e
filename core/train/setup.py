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
    laid_rows: int = 0  # micro-batch that the order of rows was made for; 0: the configuration's

    @property
    def order_rows(self) -> int:
        """Rows of a batch in the order of rows, which a smaller micro-batch must not change."""
        return self.laid_rows or self.config.train.per_device_train_batch_size

    @property
    def full(self) -> bool:
        """Whether every weight is trained, not an adapter."""
        return self.config.method.kind == "full"
