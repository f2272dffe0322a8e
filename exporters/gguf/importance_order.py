"""What the process that collects importance is asked for."""

from __future__ import annotations

import msgspec

from core.runs.target import Target

TOKENS = 50_000  # llama.cpp's people find little gain beyond
BUDGET_S = 600.0  # a large model on few cores sees fewer tokens


class Order(msgspec.Struct, frozen=True):
    """What the other process is to do."""

    target: Target
    folder: str  # the model's
    text: str  # a file; empty for the run's training rows
    bos: int | None  # what llama.cpp puts before a plain text
    matrices: dict[str, str]  # GGUF name: the module in transformers
    experts: dict[str, str]  # GGUF name of a stack of experts: the module of all of them
    out: str
    threads: int
    tokens: int = TOKENS
    budget_s: float = BUDGET_S
