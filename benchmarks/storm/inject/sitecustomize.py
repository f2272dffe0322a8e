"""Loaded by Python itself in a worker: faults that nothing outside of it can cause.

AFINA_STORM holds them as JSON: kind "oom", "nan", "memory", "clock" or "cgroup", with `step` (the
fault comes in the course of this step) and `times` (how often in all, counted in `marks`, because
a worker may start itself anew). `begin` is called by workers that are forked warm.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

TRAINER = "transformers.trainer"
HUGE_BYTES = 2**62  # no machine has them: the allocator says so in its own words


def begin() -> None:
    """Puts the faults of the environment in their places."""
    told = os.environ.get("AFINA_STORM")
    if not told:
        return
    fault = json.loads(told)
    if fault["kind"] == "cgroup":
        Path(fault["group"], "cgroup.procs").write_text(str(os.getpid()))
        return
    if TRAINER in sys.modules:
        _wrap(sys.modules[TRAINER], fault)
    else:
        sys.meta_path.insert(0, _AfterImport(fault))


class _AfterImport(importlib.abc.MetaPathFinder):
    """Wraps the trainer as soon as it is imported."""

    def __init__(self, fault: dict[str, Any]) -> None:
        self.fault = fault

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != TRAINER:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.loader is not None
        execute: Any = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            _wrap(module, self.fault)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _wrap(module: Any, fault: dict[str, Any]) -> None:
    step = module.Trainer.training_step

    def training_step(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step + 1 == fault["step"] and _first_times(fault):
            _strike(self, fault)
        return step(self, *args, **kwargs)

    module.Trainer.training_step = training_step


def _first_times(fault: dict[str, Any]) -> bool:
    marks = Path(fault["marks"])
    before = marks.stat().st_size if marks.exists() else 0
    if before >= fault.get("times", 1):
        return False
    with open(marks, "ab") as file:
        file.write(b"x")
    return True


def _strike(trainer: Any, fault: dict[str, Any]) -> None:
    import torch

    match fault["kind"]:
        case "oom":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        case "memory":
            torch.empty(HUGE_BYTES, dtype=torch.uint8)
        case "nan":
            weights = [weight for weight in trainer.model.parameters() if weight.requires_grad]
            with torch.no_grad():
                weights[-1].view(-1)[0] = float("nan")
        case "clock":
            real, jump = time.time, fault["jump_s"]
            time.time = lambda: real() + jump


begin()
