"""What is wrong with how a run learns: methods, optimizers, and what can't be combined."""

from __future__ import annotations

from collections.abc import Iterator

from core.config import Config
from core.errors import FieldProblem


def method_problems(config: Config) -> Iterator[FieldProblem]:
    """Problems of the groups method and train."""
    method, train = config.method, config.train
    if method.kind == "full":
        for name in ("dora", "rslora"):
            if getattr(method, name):
                yield FieldProblem(
                    f"method.{name}",
                    "This belongs to an adapter, and the method is full.",
                    "Set method.kind to lora, or switch it off.",
                )
        if train.learning_rate > 2e-4:
            yield FieldProblem(
                "train.learning_rate",
                f"{train.learning_rate:g} is high for full tuning.",
                "1e-5 to 5e-5 is usual.",
                severity="warning",
            )
