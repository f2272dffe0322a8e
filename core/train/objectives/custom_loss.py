"""A loss of one's own: `train.custom_loss` names a function or a class in a file of Python.

Its code is loaded here, in the worker, and nowhere else; the run's own copy is what is loaded
(core/runs/custom_loss_file.py). What it must take and give back stands in docs/custom-loss.md.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch

from core.config import Config, config_io
from core.data.escape import visible
from core.errors import AfinaError
from core.train.objectives.token_logits import Scored
from core.train.recovery.overrides import is_out_of_memory

MODULE = "afina_custom_loss"
READ_MORE = "docs/custom-loss.md describes what it takes and gives back."
Loss = Callable[[torch.Tensor, torch.Tensor, Scored], Any]


class Source(NamedTuple):
    """Where a loss comes from."""

    path: Path  # the file that is loaded
    shown: str  # the name of the file that was asked for
    name: str  # of the function or class


class CustomLoss:
    """A loaded loss, whose every fault is told with its file and line."""

    def __init__(self, call: Loss, source: Source) -> None:
        self.call = call
        self.source = source
        self.needs_hidden_states = bool(getattr(call, "needs_hidden_states", False))

    def __call__(self, scored: Scored) -> torch.Tensor:
        """The mean loss of the batch's supervised tokens, a scalar; raises AfinaError."""
        try:
            found = self.call(scored.logits, scored.labels, scored)
        except Exception as error:  # noqa: BLE001 - code of the user's own: any fault is its own
            raise told(error, self.source) from error
        loss = self._mean(found, scored)
        if scored.training and not loss.requires_grad:
            raise self._fault(
                "gave back a loss without a gradient, so nothing can be learned from it",
                "Compute it from logits, hidden or cross_entropy, without detach(), item() or "
                "torch.no_grad().",
            )
        finite = bool(torch.isfinite(loss))
        if not finite and bool(torch.isfinite(scored.cross_entropy.detach()).all()):
            raise self._fault(
                f"gave back {loss.item()}, where the model's own loss is finite",
                "Look for a division by 0, a logarithm of 0 or an exponential that overflows.",
            )
        return loss

    def _mean(self, found: Any, scored: Scored) -> torch.Tensor:
        if not isinstance(found, torch.Tensor):
            raise self._fault(f"gave back {_kind(found)}, not a tensor", READ_MORE)
        if found.shape == scored.labels.shape:
            return found.float().mean()
        if found.ndim:
            raise self._fault(
                f"gave back a tensor of shape {tuple(found.shape)} for "
                f"{len(scored.labels):,} supervised tokens",
                "Give back a scalar, the mean over the supervised tokens, or one loss a token.",
            )
        return found.float()

    def _fault(self, what: str, hint: str) -> AfinaError:
        line, source = _line_of(self.call), self.source
        return AfinaError(f"The custom loss {source.shown}:{line} ({source.name}) {what}.", hint)


def load(path: Path, word: str, config: Config) -> CustomLoss:
    """The loss in a file; a class is made with the run's options, as nested values.

    word: `train.custom_loss`, whose file name is told in the place of that of a run's copy.
    """
    own, _, name = word.rpartition(":")
    source = Source(path, Path(own).name, name)
    module = _module(source)
    found: Any = getattr(module, name, None)
    if found is None:
        there = ", ".join(n for n, v in vars(module).items() if _is_own(v, module)) or "none"
        raise AfinaError(
            f'{source.shown} has no "{name}".', f"It has the functions and classes {there}."
        )
    if inspect.isclass(found):
        make: Any = found
        try:
            found = make(config_io.to_values(config))
        except Exception as error:  # noqa: BLE001 - code of the user's own: any fault is its own
            raise told(error, source) from error
    if not callable(found):
        raise AfinaError(
            f'"{name}" in {source.shown} can\'t be called: it is {_kind(found)}.',
            "Name a function, or a class with __call__(self, logits, labels, batch).",
        )
    return CustomLoss(found, source)


def _module(source: Source) -> ModuleType:
    spec = importlib.util.spec_from_file_location(MODULE, source.path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module  # dataclasses and pickles look their module up by its name
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - code of the user's own
        raise told(error, source) from error
    return module


def told(error: Exception | SystemExit, source: Source) -> BaseException:
    """A fault of a loss as a person reads it, with the innermost line of its file.

    A device that is full is no fault of it, and comes back as it is.
    """
    if is_out_of_memory(error) or isinstance(error, AfinaError):
        return error
    traceback.print_exception(error)
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename) == source.path
    ]
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    line = lines[-1] if lines else line
    where = f"{source.shown}:{line}" if line else source.shown
    hint = READ_MORE
    if isinstance(error, ModuleNotFoundError):
        hint = "The file is copied into the run by itself; install the module it imports."
    text = visible(str(error).strip().partition("\n")[0][:300], newlines=False).rstrip(".")
    said = f"{type(error).__name__}: {text}".rstrip(": ")
    return AfinaError(f"The custom loss {where} ({source.name}): {said}.", hint)


def _line_of(call: Any) -> int:
    code = getattr(call, "__code__", None) or getattr(type(call).__call__, "__code__", None)
    return code.co_firstlineno if code else 1


def _is_own(value: Any, module: ModuleType) -> bool:
    return getattr(value, "__module__", None) == module.__name__


def _kind(value: Any) -> str:
    return "nothing (None)" if value is None else f"a {type(value).__name__}"
