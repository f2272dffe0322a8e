"""What is wrong with how a run learns: methods, and what can't be combined with them.

What PEFT, bitsandbytes and TRL refuse, and above all what they ignore in silence. What only the
model's own files can tell is in core/train/model/target_modules.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from core.config import Config
from core.config.method import Method
from core.config.rates import rate_problem
from core.errors import FieldProblem

DEFAULTS = Method()
ADAPTERS = ("lora", "ia3", "prompt")
# options and the kinds of method that know them; under others they would do nothing
KNOWN_TO = {
    "quantization": ADAPTERS,
    "trainable_layers": ("full",),
    "rank_pattern": ("lora",),
    "alpha_pattern": ("lora",),
    "modules_to_save": ("lora", "ia3"),
    "init_lora_weights": ("lora",),
    "rslora": ("lora",),
    "dora": ("lora",),
    "prompt_tuning_init_text": ("prompt",),
}
# the same for numbers, which a form always shows: they are told, and do no harm
NUMBERS_OF = {
    "rank": ("lora",),
    "alpha": ("lora",),
    "dropout": ("lora",),
    "target_modules": ("lora", "ia3"),
    "num_virtual_tokens": ("prompt",),
}

# alpha 32 at rank 1 (LoRA Without Regret, 2025) and 16 at 64 (QLoRA, arXiv 2305.14314) are reported
MOST_SCALE, LEAST_SCALE = 64.0, 0.02


def method_problems(config: Config) -> Iterator[FieldProblem]:
    """Problems of the group method, and of what goes with it."""
    yield from _unknown_options(config.method)
    yield from _patterns(config.method)
    yield from _scale(config.method)
    yield from _pissa(config)
    yield from _prompt(config)
    yield from _learning_rate(config)


def _unknown_options(method: Method) -> Iterator[FieldProblem]:
    """Options that belong to other kinds of method."""
    for name, kinds in {**KNOWN_TO, **NUMBERS_OF}.items():
        if method.kind in kinds or getattr(method, name) == getattr(DEFAULTS, name):
            continue
        whose = " and ".join(kinds) if kinds != ADAPTERS else "an adapter"
        yield FieldProblem(
            f"method.{name}",
            f"It belongs to {whose}, and the method is {method.kind}.",
            f"Set method.kind to {' or '.join(kinds)}, or take the option away.",
            severity="error" if name in KNOWN_TO else "warning",
        )


def _patterns(method: Method) -> Iterator[FieldProblem]:
    for name in ("rank_pattern", "alpha_pattern"):
        for pattern in getattr(method, name):
            try:
                re.compile(pattern)
            except re.error as error:
                yield FieldProblem(
                    f"method.{name}",
                    f'"{pattern}" is no name and no pattern: {error}.',
                    "Write the end of a layer's name, as down_proj or layers.0.mlp.down_proj.",
                )


def _scale(method: Method) -> Iterator[FieldProblem]:
    """A warning where alpha makes the adapter far louder or fainter than anyone reports."""
    if method.kind != "lora" or method.rank < 1:
        return
    scale = method.alpha / (math.sqrt(method.rank) if method.rslora else method.rank)
    if LEAST_SCALE <= scale <= MOST_SCALE:
        return
    yield FieldProblem(
        "method.alpha",
        f"It scales the adapter by {scale:g} at rank {method.rank}.",
        "Once or twice the rank is usual: arXiv 2405.09673.",
        severity="warning",
    )


def _pissa(config: Config) -> Iterator[FieldProblem]:
    method = config.method
    if method.init_lora_weights != "pissa":
        return
    if method.quantization != "none":
        yield FieldProblem(
            "method.init_lora_weights",
            f"pissa takes directions out of the weights, which {method.quantization} rounds before "
            "and after: what is saved would not fit the base.",
            "Set method.quantization to none, or method.init_lora_weights to default.",
        )
    if method.dora:
        yield FieldProblem(
            "method.init_lora_weights",
            "DoRA's magnitudes are those of the weights that pissa leaves, so what is saved would "
            "not fit the base.",
            "Choose pissa or method.dora.",
        )


def _prompt(config: Config) -> Iterator[FieldProblem]:
    """A learned prompt stands once before every row."""
    method, train = config.method, config.train
    if method.kind != "prompt":
        return
    if train.packing == "on":
        yield FieldProblem(
            "train.packing",
            "The learned prompt stands before every row, and packed rows would share one.",
            "Set it to auto or off.",
        )
    if method.prompt_tuning_init_text is not None and not method.prompt_tuning_init_text.strip():
        yield FieldProblem(
            "method.prompt_tuning_init_text", "The text is empty.", "Write one, or take it away."
        )


def _learning_rate(config: Config) -> Iterator[FieldProblem]:
    """Where only the rows tell the objective, the worker says the rest."""
    objective = config.train.objective
    if problem := rate_problem(config, "sft" if objective == "auto" else objective):
        yield problem
