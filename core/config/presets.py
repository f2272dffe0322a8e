"""Ready sets of options, laid over a configuration by one key."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from core.config import Config


class Preset(NamedTuple):
    """A name, what it is for, and the options that it sets, dotted."""

    name: str
    purpose: str
    options: dict[str, Any]


PRESETS = (
    Preset(
        "balanced",
        "The defaults: LoRA on every linear layer, three passes.",
        {
            "method.kind": "lora",
            "method.rank": 16,
            "method.alpha": 32.0,
            "method.dropout": 0.0,
            "train.learning_rate": 2e-4,  # LoRA Without Regret (2025): ten times full tuning
            "train.num_train_epochs": 3.0,
            "train.max_steps": None,
        },
    ),
    Preset(
        "quick look",
        "Fifty steps, to see whether the loss falls at all.",
        {
            "method.kind": "lora",
            "method.rank": 8,
            "method.alpha": 16.0,
            "train.learning_rate": 2e-4,
            "train.max_steps": 50,
        },
    ),
    Preset(
        "few rows",
        "For some hundred rows: a small adapter with dropout, and an early end.",
        {
            "method.kind": "lora",
            "method.rank": 8,
            "method.alpha": 16.0,
            "method.dropout": 0.05,  # QLoRA (arXiv 2305.14314) B.2: 0.05 to 0.1
            "train.learning_rate": 2e-4,
            "train.num_train_epochs": 6.0,
            "train.max_steps": None,
            "checkpoint.early_stopping_patience": 3,
        },
    ),
    Preset(
        "preferences",
        "For rows with a chosen and a rejected answer: one pass, a tenth of the usual rate.",
        {
            "method.kind": "lora",
            "method.rank": 16,
            "method.alpha": 32.0,
            "method.dropout": 0.0,
            "train.beta": 0.1,  # DPO (arXiv 2305.18290) B
            "train.learning_rate": 2e-5,  # Zephyr (arXiv 2310.16944): 5e-7 in full; adapters more
            "train.num_train_epochs": 1.0,
            "train.max_steps": None,
        },
    ),
    Preset(
        "full",
        "Every weight, two passes, a small learning rate.",
        {
            "method.kind": "full",
            "method.dora": False,
            "method.rslora": False,
            "train.learning_rate": 2e-5,  # as Alpaca, and Llama 2 (arXiv 2307.09288) 3.1
            "train.num_train_epochs": 2.0,
            "train.max_steps": None,
        },
    ),
)


def apply(config: Config, preset: Preset) -> Config:
    """The configuration with the preset's options; the others stay."""
    for name, value in preset.options.items():
        group, _, option = name.partition(".")
        changed = msgspec.structs.replace(getattr(config, group), **{option: value})
        config = msgspec.structs.replace(config, **{group: changed})
    return config


def matching(config: Config) -> Preset | None:
    """The preset whose options the configuration has."""
    return next((preset for preset in PRESETS if apply(config, preset) == config), None)
