"""A configuration that goes on from a run or an adapter: what these decide comes with it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from core.config import Config
from core.errors import AfinaError
from core.runs.continue_from import resolve_config


def going_on(home: Path, config: Config, word: str) -> Config:
    """With model.continue_from, and the base and method that go with it.

    Where the word leads nowhere only the word is set: its problem stands under its field then.
    """
    model = msgspec.structs.replace(config.model, name_or_path="", continue_from=word)
    try:
        real = resolve_config(home, msgspec.structs.replace(config, model=model))
    except AfinaError:
        kept = msgspec.structs.replace(config.model, continue_from=word)
        return msgspec.structs.replace(config, model=kept)
    model = msgspec.structs.replace(real.model, continue_from=word)
    return msgspec.structs.replace(real, model=model)
