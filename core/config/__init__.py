"""The configuration of a run: every option once, with its meaning, unit, source and default.

The form, the YAML, `key=value` overrides and the reference in docs/ are drawn from these structs.
Reading and writing it is in config_io.py, what can be wrong in problems.py. Names are those of
TrainingArguments, PEFT and TRL.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from core.config.data import Data
from core.config.method import Method
from core.config.model import Model
from core.config.option import option
from core.config.run import Checkpoint, Eval, Launch
from core.config.train import Train

__all__ = ["Checkpoint", "Config", "Data", "Eval", "Launch", "Method", "Model", "Train"]


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run."""

    name: Annotated[
        str | None,
        option("Name of the run; without one, the data's name and the method."),
    ] = None
    model: Model = Model()
    data: Data = Data()
    method: Method = Method()
    train: Train = Train()
    checkpoint: Checkpoint = Checkpoint()
    eval: Eval = Eval()
    launch: Launch = Launch()

    def laid_over(self, options: dict[str, Any]) -> Config:
        """This configuration with other values for some dotted names; they are not checked."""
        config = self
        for name, value in options.items():
            group, _, option = name.partition(".")
            inner = msgspec.structs.replace(getattr(config, group), **{option: value})
            config = msgspec.structs.replace(config, **{group: inner})
        return config
