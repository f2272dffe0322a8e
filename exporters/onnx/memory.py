"""What an ONNX export takes of disk and memory, before anything starts."""

from __future__ import annotations

import math
import re
from typing import Any

from core.figures import size
from exporters.onnx.types import Type, matrix_bytes
from exporters.weights.merge import INPUT, OUTPUT, Merged

LIBRARIES_BYTES = 900 * 2**20  # Python, torch, transformers, onnxruntime, onnx
_SENSITIVE = re.compile(r"model\.layers\.(\d+)\..*(q|k|v|qkv|down)_proj\.weight")
GRAPH_BYTES = 24 * 1024  # of a layer, and of the rest once


def folder_bytes(merged: Merged, chosen: Type) -> int:
    """Of graph and weights; within a few percent."""
    config = merged.config
    total = GRAPH_BYTES * (config["num_hidden_layers"] + 1)
    sensitive = sensitive_layers(config["num_hidden_layers"]) if chosen.mixed else set()
    for name, shape in merged.shapes.items():
        if len(shape) == 2 and name not in (INPUT, OUTPUT):
            found = _SENSITIVE.match(name)
            bits = 8 if found and int(found[1]) in sensitive else chosen.bits
            total += matrix_bytes(shape, bits, chosen.zero_points)
        total += math.prod(shape) * 4 if len(shape) == 1 else 0
    total += _embeddings(merged, chosen)
    return total + 8 * _rotated(config) * int(config.get("max_position_embeddings") or 0) // 2


def sensitive_layers(count: int) -> set[int]:
    """Those of which the builder's "mixed_layers" keep some matrices in 8 bits: the first and last
    eighth, and every third between (llama.cpp, src/llama-quant.cpp, use_more_bits).
    """
    eighth = count / 8
    return {
        place
        for place in range(count)
        if place < eighth or place >= 7 * eighth or (place - round(eighth)) % 3 == 2
    }


def _embeddings(merged: Merged, chosen: Type) -> int:
    shape = merged.shapes[INPUT]
    head = matrix_bytes(shape, chosen.head_bits, chosen.zero_points)
    return head if merged.tied else math.prod(shape) * 4 + head


def _rotated(config: dict[str, Any]) -> int:
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def memory_bytes(merged: Merged) -> int:
    """Peak while one type is built: the largest part, and its quantized copy.

    Seen: 1,361 MiB for 494 M parameters in int4, whose embedding takes 519 MiB in float32.
    """
    return largest_part(merged.shapes) * 5 // 4 + LIBRARIES_BYTES


def largest_part(shapes: dict[str, tuple[int, ...]]) -> int:
    """Bytes of the largest layer, or input or output matrix, in float32."""
    sizes: dict[str, int] = {}
    for name, shape in shapes.items():
        part = ".".join(name.split(".")[:3]) if name.startswith("model.layers.") else name
        sizes[part] = sizes.get(part, 0) + math.prod(shape) * 4
    return max(sizes.values())


def notes_of(merged: Merged, chosen: Type) -> list[str]:
    """What a person should know of a type of this model."""
    if not chosen.quantized or merged.tied:
        return []
    rows = math.prod(merged.shapes[INPUT]) * 4
    return [f"The input embedding stays in fp32 ({size(rows)}): only a tied one is quantized."]
