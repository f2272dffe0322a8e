"""What a run changed of itself to go on: a smaller micro-batch, a lower learning rate.

<run>/recovery.json lies over the frozen configuration; everything in a run reads what `apply`
gives. The process then begins anew by exec, so that nothing is left of what went wrong.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from core.config import Config
from core.paths import write_atomic

FILE = "recovery.json"
LOWER = 0.5  # of the learning rate, after a divergence
_WORDS = (
    "can't allocate memory",  # torch on the processor
    "out of memory",  # "CUDA error: out of memory" and the like come as RuntimeError too
    "std::bad_alloc",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "could not create a memory",  # oneDNN
)


class Recovery(msgspec.Struct, frozen=True):
    """Overrides of one run; None leaves what the configuration says."""

    per_device_train_batch_size: int | None = None
    gradient_accumulation_steps: int | None = None
    learning_rate_factor: float = 1.0
    oom_retries: int = 0
    rollbacks: int = 0

    def apply(self, config: Config) -> Config:
        """The configuration that the run goes on with."""
        train = config.train
        changed: dict[str, Any] = {"learning_rate": train.learning_rate * self.learning_rate_factor}
        for name in ("per_device_train_batch_size", "gradient_accumulation_steps"):
            if (value := getattr(self, name)) is not None:
                changed[name] = value
        return msgspec.structs.replace(config, train=msgspec.structs.replace(train, **changed))

    def smaller(self, config: Config, least: int = 1) -> Recovery | None:
        """Half the micro-batch (of an odd one, its largest part) and as many more passes.

        The rows of an optimizer step stay the same ones. config: the frozen one. None where the
        micro-batch would get below `least`.
        """
        train = self.apply(config).train
        rows = train.per_device_train_batch_size
        parts = (part for part in range(rows // 2, least - 1, -1) if rows % part == 0)
        part = next(parts, None)
        if part is None:
            return None
        return msgspec.structs.replace(
            self,
            per_device_train_batch_size=part,
            gradient_accumulation_steps=train.gradient_accumulation_steps * (rows // part),
            oom_retries=self.oom_retries + 1,
        )

    def slower(self) -> Recovery:
        """Half the learning rate."""
        return msgspec.structs.replace(
            self,
            learning_rate_factor=self.learning_rate_factor * LOWER,
            rollbacks=self.rollbacks + 1,
        )


class Again(Exception):
    """The process is to begin anew; recovery.json says with what."""


def read(run: Path) -> Recovery:
    """The overrides of a run; none without the file, or with one that can't be read."""
    try:
        return msgspec.json.decode((run / FILE).read_bytes(), type=Recovery)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError):
        return Recovery()


def write(run: Path, recovery: Recovery) -> None:
    write_atomic(run / FILE, msgspec.json.format(msgspec.json.encode(recovery)))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device or the machine has no memory left."""
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError):
        return True
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)


def ways_out(config: Config) -> str:
    """What a person can change when memory doesn't suffice, what costs least first."""
    train, method = config.train, config.method
    ways = []
    if train.per_device_train_batch_size > 1:
        ways.append(
            "a smaller train.per_device_train_batch_size with more gradient_accumulation_steps"
        )
    if not train.gradient_checkpointing:
        ways.append("train.gradient_checkpointing=true")
    if method.kind == "full" and train.optim == "adamw":
        ways.append("train.optim=adamw_8bit")
    ways.append(f"data.max_length below {config.data.max_length:,}")
    if method.kind == "full":
        ways.append("method.kind=lora")
    elif method.quantization == "none":
        ways.append("method.quantization=nf4")
    return f"In this order: {'; '.join(ways)}."
