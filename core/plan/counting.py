"""How many parameters a run trains, told from the shapes of the base model's tensors. No torch.

The rules are PEFT's (0.21): names match by their ends, patterns by utils/other.py get_pattern_key.
A classifier's head is not counted: only the rows know how many classes it has.
"""

from __future__ import annotations

import math
import re
from typing import TypeVar

from core.config import Config
from core.config.method import Method
from core.plan.model_shape import ModelShape

# Layers whose input IA3 scales, by the last part of their name; of all others it scales the output.
# peft 0.21, utils/constants.py, TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING
FEEDFORWARD = ("down_proj", "fc2", "fc_out", "dense_4h_to_h", "w2", "wo")
EMBEDDINGS = ("embed", "wte", "wpe")
Value = TypeVar("Value", int, float)


def trainable_parameters(shape: ModelShape, config: Config) -> int:
    """Parameters that learn under a configuration's method."""
    method = config.method
    if method.kind == "full":
        if method.trainable_layers is None:
            return shape.parameters
        return _of_last_blocks(shape, method.trainable_layers)
    if method.kind == "prompt":
        return method.num_virtual_tokens * shape.hidden
    count = _of_saved_modules(shape, method)
    for name, (out, into) in shape.linear.items():
        if is_named(name, method.target_modules):
            count += _of_adapter(method, name, out, into)
    return count


def is_named(name: str, words: str) -> bool:
    """Whether method.target_modules, all-linear or names with commas, means a linear layer."""
    names = [word.strip() for word in words.split(",") if word.strip()]
    return names == ["all-linear"] or any(f".{name}".endswith(f".{word}") for word in names)


def by_pattern(patterns: dict[str, Value], name: str, default: Value) -> Value:
    """The value of the first pattern that fits a layer's name or its end."""
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", name):
            return value
    return default


def _of_adapter(method: Method, name: str, out: int, into: int) -> int:
    if method.kind == "ia3":
        return into if name.rpartition(".")[2] in FEEDFORWARD else out
    rank = by_pattern(method.rank_pattern, name, method.rank)
    return rank * (out + into) + (out if method.dora else 0)


def _of_saved_modules(shape: ModelShape, method: Method) -> int:
    """Parameters of the modules that learn as a whole; a tied head becomes one of its own."""
    words = [word.strip() for word in (method.modules_to_save or "").split(",") if word.strip()]
    tensors = dict(shape.tensors)
    if "lm_head.weight" not in tensors and shape.vocabulary:
        tensors["lm_head.weight"] = (shape.vocabulary, shape.hidden)
    count = 0
    for name, size in tensors.items():
        parts = name.split(".")[:-1]
        paths = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
        if any(path.endswith(word) for path in paths for word in words):
            count += math.prod(size)
    return count


def _of_last_blocks(shape: ModelShape, blocks: int) -> int:
    count = 0
    for name, size in shape.tensors.items():
        block = re.search(r"\.(\d+)\.", name)
        if block:
            learns = int(block[1]) >= shape.layers - blocks
        else:
            learns = not any(word in name for word in EMBEDDINGS)
        count += math.prod(size) * learns
    return count
