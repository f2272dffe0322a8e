"""The number types of a GGUF file: what each is for, and how many bytes a model takes in it.

Which tensors a mixed type keeps in more bits follows llama.cpp's src/llama-quant.cpp for the
architecture "llama"; tests compare the sizes with files that llama.cpp wrote.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import msgspec

Shape = tuple[int, ...]
ALIGNMENT = 32  # bytes; GGUF's default


class Type(msgspec.Struct, frozen=True):
    """A type that a person can ask for."""

    name: str
    file_type: int  # llama_ftype in include/llama.h
    weights: str  # the type of most tensors
    description: str
    more: str = ""  # the type of the tensors that lose most by few bits

    @property
    def quantized(self) -> bool:
        return self.weights not in ("F32", "F16", "BF16")


TYPES = {
    type.name: type
    for type in (
        Type("f32", 0, "F32", "Every bit of the merge; twice the size of f16, for comparing."),
        Type("f16", 1, "F16", "Half precision: the same answers, on every machine."),
        Type("bf16", 32, "BF16", "Half precision with the range of f32; slow on older CPUs."),
        Type("q8_0", 7, "Q8_0", "8 bits: hardly to be told from f16, half its size."),
        Type("q6_k", 18, "Q6_K", "6.6 bits: very near to f16."),
        Type("q5_k_m", 17, "Q5_K", "5.7 bits: near, for a little more than q4_k_m.", "Q6_K"),
        Type("q4_k_m", 15, "Q4_K", "4.8 bits: the usual choice for a laptop.", "Q6_K"),
        Type("q4_0", 2, "Q4_0", "4.5 bits: the simplest, fast on ARM, less exact than q4_k_m."),
    )
}
BLOCKS = {  # ggml type: (values, bytes) of a block (ggml/src/ggml-common.h)
    "F32": (1, 4),
    "F16": (1, 2),
    "BF16": (1, 2),
    "Q4_0": (32, 18),
    "Q5_0": (32, 22),
    "Q5_1": (32, 24),
    "Q8_0": (32, 34),
    "Q4_K": (256, 144),
    "Q5_K": (256, 176),
    "Q6_K": (256, 210),
}
FALLBACKS = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}  # for rows that no block divides


def tensor_types(shapes: Mapping[str, Shape], wanted: Type) -> dict[str, str]:
    """The ggml type of each tensor, by GGUF name; 1-D tensors stay F32."""
    layers = 1 + max((_layer(name) for name in shapes), default=0)
    return {
        name: "F32" if len(shape) == 1 else _fitting(_wish(name, shapes, wanted, layers), shape[-1])
        for name, shape in shapes.items()
    }


def file_bytes(shapes: Mapping[str, Shape], wanted: Type, header_bytes: int) -> int:
    """Bytes of the file; `header_bytes` are those before the first tensor."""
    total = header_bytes
    for name, kind in tensor_types(shapes, wanted).items():
        total += math.ceil(tensor_bytes(shapes[name], kind) / ALIGNMENT) * ALIGNMENT
    return total


def tensor_bytes(shape: Shape, kind: str) -> int:
    values, size = BLOCKS[kind]
    return math.prod(shape) // values * size


def fallbacks(shapes: Mapping[str, Shape], wanted: Type) -> int:
    """How many tensors get another type because their rows are not a multiple of 256."""
    layers = 1 + max((_layer(name) for name in shapes), default=0)
    kinds = tensor_types(shapes, wanted)
    return sum(
        len(shape) > 1 and kinds[name] != _wish(name, shapes, wanted, layers)
        for name, shape in shapes.items()
    )


def _wish(name: str, shapes: Mapping[str, Shape], wanted: Type, layers: int) -> str:
    """The type that llama.cpp gives a tensor if its rows allow it."""
    if not wanted.quantized or wanted.weights == "Q8_0":
        return wanted.weights
    output = "output.weight" if "output.weight" in shapes else "token_embd.weight"
    if name == output:
        return "Q6_K"
    if wanted.more and name.endswith((".attn_v.weight", ".ffn_down.weight")):
        place, eighth = _layer(name), layers // 8
        if place < eighth or place >= 7 * layers // 8 or (place - eighth) % 3 == 2:
            return wanted.more
    return wanted.weights


def _fitting(kind: str, row: int) -> str:
    """The type, or what llama.cpp takes when a row is not a whole number of its blocks."""
    if row % BLOCKS[kind][0] == 0:
        return kind
    kind = FALLBACKS.get(kind, "F16")
    return kind if row % BLOCKS[kind][0] == 0 else "F16"


def _layer(name: str) -> int:
    found = re.match(r"blk\.(\d+)\.", name)
    return int(found[1]) if found else 0
