"""The number types of a GGUF file: what each is for, and how many bytes a model takes in it.

Which tensors a mixed type keeps in more bits: mixes.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import msgspec

from exporters.gguf.mixes import FALLBACKS, HEAD_FALLBACK, Model, Shape, Traits, wish

ALIGNMENT = 32  # bytes; GGUF's default
UNWEIGHTED = ("F32", "F16", "BF16", "Q8_0")  # what ggml rounds value by value
ROUTER = ".ffn_gate_inp.weight"  # chooses experts, and is never quantized


class Type(msgspec.Struct, frozen=True):
    """A type that a person can ask for."""

    name: str
    file_type: int  # llama_ftype in include/llama.h
    weights: str  # the type of most tensors
    description: str
    needs_importance: bool = False  # of the columns: see importance.py

    @property
    def quantized(self) -> bool:
        return self.weights not in ("F32", "F16", "BF16")

    @property
    def weighable(self) -> bool:
        """Whether importance of the columns changes it."""
        return self.weights not in UNWEIGHTED


TYPES = {
    type.name: type
    for type in (
        Type("f32", 0, "F32", "Every bit of the merge; twice the size of f16, for comparing."),
        Type("f16", 1, "F16", "Half precision: the same answers, on every machine."),
        Type("bf16", 32, "BF16", "Half precision with the range of f32; slow on older CPUs."),
        Type("q8_0", 7, "Q8_0", "8 bits: hardly to be told from f16, half its size."),
        Type("q6_k", 18, "Q6_K", "6.6 bits: very near to f16."),
        Type("q5_k_m", 17, "Q5_K", "5.7 bits: near, for a little more than q4_k_m."),
        Type("q5_k_s", 16, "Q5_K", "5.5 bits: q5_k_m without its larger tensors."),
        Type("q4_k_m", 15, "Q4_K", "4.8 bits: the usual choice for a laptop."),
        Type("q4_k_s", 14, "Q4_K", "4.6 bits: q4_k_m with fewer larger tensors."),
        Type("q4_0", 2, "Q4_0", "4.5 bits: the simplest, fast on ARM, less exact than q4_k_m."),
        Type("iq4_nl", 25, "IQ4_NL", "4.5 bits: uneven steps, for rows that 256 does not divide."),
        Type("iq4_xs", 30, "IQ4_XS", "4.3 bits: smaller than q4_k_s, and nearly as near."),
        Type("q3_k_m", 12, "Q3_K", "3.9 bits: when memory is short; the loss shows."),
        Type("iq3_xxs", 23, "IQ3_XXS", "3.3 bits, by importance: better than q2_k.", True),
        Type("q2_k", 10, "Q2_K", "3.0 bits: the last resort for a large model."),
        Type("iq2_xxs", 19, "IQ2_XXS", "2.4 bits, by importance: the smallest; loses much.", True),
    )
}
BLOCKS = {  # ggml type: (values, bytes) of a block (ggml/src/ggml-common.h)
    "F32": (1, 4),
    "F16": (1, 2),
    "BF16": (1, 2),
    "Q4_0": (32, 18),
    "Q4_1": (32, 20),
    "Q5_0": (32, 22),
    "Q5_1": (32, 24),
    "Q8_0": (32, 34),
    "IQ4_NL": (32, 18),
    "IQ4_XS": (256, 136),
    "IQ2_XXS": (256, 66),
    "IQ2_S": (256, 82),
    "IQ3_XXS": (256, 98),
    "IQ3_S": (256, 110),
    "Q2_K": (256, 84),
    "Q3_K": (256, 110),
    "Q4_K": (256, 144),
    "Q5_K": (256, 176),
    "Q6_K": (256, 210),
}


def tensor_types(
    shapes: Mapping[str, Shape],
    wanted: Type,
    traits: Traits | None = None,
    importance: bool = False,
) -> dict[str, str]:
    """The ggml type of each tensor, by GGUF name; 1-D tensors and routers stay F32.

    importance: whether that of the columns is used where the type doesn't need it.
    """
    return {name: fits for name, _, fits in _types(shapes, wanted, traits, importance)}


def file_bytes(kinds: Mapping[str, str], shapes: Mapping[str, Shape], header_bytes: int) -> int:
    """Bytes of the file; `header_bytes` are those before the first tensor."""
    total = header_bytes
    for name, kind in kinds.items():
        total += math.ceil(tensor_bytes(shapes[name], kind) / ALIGNMENT) * ALIGNMENT
    return total


def tensor_bytes(shape: Shape, kind: str) -> int:
    values, size = BLOCKS[kind]
    return math.prod(shape) // values * size


def fallbacks(shapes: Mapping[str, Shape], wanted: Type, traits: Traits | None = None) -> int:
    """How many tensors get another type because their rows are not a multiple of 256."""
    return sum(wished != fits for _, wished, fits in _types(shapes, wanted, traits, False))


def _types(
    shapes: Mapping[str, Shape], wanted: Type, traits: Traits | None, importance: bool
) -> Iterator[tuple[str, str, str]]:
    """Each tensor with the type that is wished for it, and the one that fits its rows."""
    model = Model.of(shapes, traits or Traits(), importance or wanted.needs_importance)
    for name, shape in shapes.items():
        if len(shape) == 1 or name.endswith(ROUTER):
            yield name, "F32", "F32"
        elif wanted.quantized:
            kind = wish(name, model, wanted.name, wanted.weights)
            other = HEAD_FALLBACK if name == model.head else FALLBACKS.get(kind, "F16")
            yield name, kind, _fitting((kind, other), shape[-1])
        else:
            yield name, wanted.weights, wanted.weights


def _fitting(kinds: tuple[str, str], row: int) -> str:
    """The first type of which a row is a whole number of blocks; F16 for lack of one."""
    return next((kind for kind in kinds if row % BLOCKS[kind][0] == 0), "F16")
