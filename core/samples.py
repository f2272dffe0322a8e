"""The sample journey that ships with Afina: its configuration and files, beside afina.py."""

from __future__ import annotations

import msgspec

from core.config import Config, config_io
from core.paths import ROOT, SAMPLE_DATA

TINY_MODEL = SAMPLE_DATA / "tiny-travel"
TRAVEL = SAMPLE_DATA / "travel.jsonl"
TRAVEL_EVAL = SAMPLE_DATA / "travel_eval.jsonl"


def sample_config() -> Config:
    """The configuration of the sample run, with paths that hold from any working directory."""
    config = config_io.load(SAMPLE_DATA / "travel.yaml")
    paths = {
        name: str(ROOT / value)
        for name in ("path", "eval_path")
        if (value := getattr(config.data, name))
    }
    return msgspec.structs.replace(
        config,
        model=msgspec.structs.replace(
            config.model, name_or_path=str(ROOT / config.model.name_or_path)
        ),
        data=msgspec.structs.replace(config.data, **paths),
    )
