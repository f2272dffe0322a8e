"""Whether the method fits the model at hand: layers, modules and blocks that it names.

What shows without the model is in core/config/method_problems.py. Raises AfinaError.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from core.config import Config, Method
from core.errors import AfinaError, nearest
from core.runs.finding import Finding
from core.train.model.adapters import module_names

ALL_LINEAR = "all-linear"
# layers of an expert, by the names that checkpoints have; and the one that shares their tensor
EXPERT_PARTS = {
    "gate_proj": "up_proj",
    "up_proj": "gate_proj",
    "down_proj": None,
    "w1": "w3",
    "w3": "w1",
    "w2": None,
}


def check(config: Config, model: Any, longest: int) -> None:
    """The method against the model as it was loaded; `longest` is that of the rows, in tokens."""
    method = config.method
    if method.kind == "full" and method.trainable_layers is not None:
        _check_blocks(method.trainable_layers, model)
    if method.kind == "prompt":
        _check_room(method.num_virtual_tokens, longest, model)
    if method.kind in ("lora", "ia3"):
        _check_saved_modules(config, model)
        _check_patterns(config, model)
    if method.kind == "lora" and has_experts(model):
        _check_experts(config.method)


def findings(config: Config, model: Any) -> Iterator[Finding]:
    """What is done otherwise than one may expect."""
    method, tied = config.method, is_tied(model)
    saved = module_names(method.modules_to_save or "") if method.kind in ("lora", "ia3") else []
    ends = [name for name in saved if name.rpartition(".")[2] in ("embed_tokens", "lm_head")]
    if method.kind == "full" and method.trainable_layers and tied:
        yield Finding(
            "note",
            "The head is tied to the embeddings, which stay as they are, so it doesn't learn.",
        )
    if tied and ends:
        yield Finding(
            "warning",
            f"The model's embeddings are its head too; {' and '.join(ends)} learn as copies of "
            "their own, so the saved adapter unties them.",
            "Name embed_tokens, lm_head to let both learn, or leave them out.",
        )


def is_tied(model: Any) -> bool:
    """Whether the head of a model is its embeddings."""
    head = model.get_output_embeddings()
    return head is not None and head.weight is model.get_input_embeddings().weight


def has_experts(model: Any) -> bool:
    """Whether a model is a mixture that holds the experts of a layer in one tensor."""
    return any(
        weight.dim() == 3 and ".experts." in name for name, weight in model.named_parameters()
    )


def _check_experts(method: Method) -> None:
    """What PEFT (0.21, lora/layer.py, ParamWrapper) can't do over the experts of a mixture."""
    words = {word.rpartition(".")[2] for word in module_names(method.target_modules)}
    if not words & {ALL_LINEAR, *EXPERT_PARTS}:
        return
    for option, on in (("dora", method.dora), ("dropout", method.dropout > 0)):
        if on:
            raise AfinaError(
                f"The model is a mixture of experts, and method.{option} doesn't work on them.",
                f"Take method.{option} away, or name layers of the attention in "
                "method.target_modules.",
            )
    for part, other in EXPERT_PARTS.items():
        if part in words and other is not None and other not in words:
            raise AfinaError(
                f'method.target_modules names "{part}" without "{other}", and the experts of this '
                "model hold both in one tensor.",
                f'Name "{other}" too, or leave both out.',
            )


def _check_blocks(wanted: int, model: Any) -> None:
    blocks = model.config.get_text_config().num_hidden_layers
    if wanted > blocks:
        raise AfinaError(
            f"method.trainable_layers is {wanted}, and the model has {blocks} blocks.",
            f"Set it to {blocks} at most; to train all of it, leave it out.",
        )


def _check_room(virtual: int, longest: int, model: Any) -> None:
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if positions and longest + virtual > positions:
        raise AfinaError(
            f"The longest row has {longest:,} tokens, the learned prompt {virtual:,}, and the "
            f"model sees {positions:,}.",
            f"Set data.max_length to at most {max(1, positions - virtual)}.",
        )


def _check_saved_modules(config: Config, model: Any) -> None:
    words = module_names(config.method.modules_to_save or "")
    modules = dict(model.named_modules(remove_duplicate=False))
    for word in words:
        # PEFT takes every module whose name ends so, whole part or not
        found = {name: module for name, module in modules.items() if name.endswith(word)}
        if not found:
            known = sorted(
                {name.rpartition(".")[2] for name in modules if name} - _numbers(modules)
            )
            raise AfinaError(
                f'The model has no module "{word}", which method.modules_to_save names.',
                nearest(word, known) or f"There are: {', '.join(known)}.",
            )
        for name, module in found.items():
            if config.method.quantization != "none" and _is_quantized(module):
                raise AfinaError(
                    f'"{name}" is kept in {config.method.quantization}, so it can\'t learn whole.',
                    "Leave it out of method.modules_to_save, or set method.quantization to none.",
                )


def _is_quantized(module: Any) -> bool:
    return any(
        type(weight).__name__ in ("Params4bit", "Int8Params") for weight in module.parameters()
    )


def _check_patterns(config: Config, model: Any) -> None:
    """A pattern that fits no layer would do nothing."""
    names = [name for name, _ in model.named_modules()]
    for option in ("rank_pattern", "alpha_pattern"):
        for pattern in getattr(config.method, option):
            if not any(re.match(rf"(.*\.)?({pattern})$", name) for name in names):
                last = sorted({name.rpartition(".")[2] for name in names if name} - _numbers(names))
                raise AfinaError(
                    f'No layer fits "{pattern}", which method.{option} names.',
                    nearest(pattern, last) or f"There are: {', '.join(last)}.",
                )


def _numbers(names: Any) -> set[str]:
    """The last parts of names that only count."""
    return {last for last in (name.rpartition(".")[2] for name in names) if last.isdigit()}
