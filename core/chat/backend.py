"""What a model must offer to answer, and the choice between those that do. Loads nothing itself."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from core.chat.protocol import Load, Loaded
from core.errors import AfinaError
from core.runs.target import Target, adapter_name

if TYPE_CHECKING:
    import numpy as np

BACKENDS = {  # Target.kind: its class
    "hf": "core.chat.hf:Transformers",
    "gguf": "core.chat.llamacpp:LlamaCpp",
    "onnx": "core.chat.onnx:OnnxGenai",
}

Cancelled = Callable[[], bool]


class Interrupted(Exception):
    """The prompt was not read to its end, because someone cancelled."""


class Backend(Protocol):
    """A loaded model with what it has read. Ids are those of its own vocabulary."""

    loaded: Loaded

    def __init__(self, request: Load) -> None: ...

    def prompt(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None
    ) -> list[int]:
        """The conversation as ids, open for the assistant's next words."""
        ...

    def decode(self, ids: list[int]) -> str: ...

    def read(self, ids: list[int], cancelled: Cancelled) -> np.ndarray:
        """Reads a prompt; the start that it shares with what was read before is not read again.

        Returns the logits of the next token, f32 (vocabulary,). Raises Interrupted.
        """
        ...

    def step(self, token: int) -> np.ndarray:
        """Reads one more token. Returns the logits of the next, f32 (vocabulary,)."""
        ...

    def logits(self, ids: list[int], start: int, cancelled: Cancelled) -> np.ndarray:
        """The logits over the tokens start .. len(ids), f32 (len(ids) - start + 1, vocabulary).

        Nothing read before is used. Raises Interrupted.
        """
        ...

    def forget(self) -> None:
        """Drops what was read."""
        ...

    def use_adapter(self, which: bool | str) -> None:
        """Whose words come next: True the target's own adapter, False the base model alone, a path
        one of the loaded adapters. What was read is dropped on a change. Raises AfinaError.
        """
        ...

    def use_threads(self, count: int) -> None: ...

    def close(self) -> None: ...


def open_backend(request: Load) -> Backend:
    """Loads the target. Raises AfinaError when its files can't answer."""
    module, _, name = BACKENDS[request.target.kind].partition(":")
    return getattr(importlib.import_module(module), name)(request)


def adapters_of(target: Target) -> list[str]:
    """All adapters that a worker loads for a target, its own first."""
    return [*([target.adapter] if target.adapter else []), *target.adapters]


def chosen_adapter(target: Target, which: bool | str) -> str | None:
    """The path behind `use_adapter`; None for the base model. Raises AfinaError."""
    if isinstance(which, bool):
        return target.adapter if which else None
    if which not in adapters_of(target):
        names = ", ".join(adapter_name(path) for path in adapters_of(target)) or "none"
        raise AfinaError(
            f'The adapter "{which}" is not loaded over "{target.label or target.word}".',
            f"Loaded: {names}. Open the model with --adapter once more for this one.",
        )
    return which


def default_threads() -> int:
    """All cores of this process but one: with all of them, decoding collapses beside any work."""
    if hasattr(os, "sched_getaffinity"):  # Linux; elsewhere a process may use every core
        return max(1, len(os.sched_getaffinity(0)) - 1)
    return max(1, (os.cpu_count() or 1) - 1)


def shared_start(old: Sequence[int], new: Sequence[int]) -> int:
    """How many ids both begin with, one fewer than `new` has: its last one is always read."""
    limit = min(len(old), len(new) - 1)
    for place in range(limit):
        if old[place] != new[place]:
            return place
    return limit
