"""The types of ONNX models: what the builder of onnxruntime-genai is asked for, and what it makes.

onnxruntime computes fp32, int8 and int4 on CPUs; fp16 and bf16 models are built and then fail.
Option names as in onnxruntime-genai 0.18 (models/builder.py); those with an `int4_` prefix are
deprecated.
"""

from __future__ import annotations

import math

import msgspec

BLOCK = 32  # values that share a scale
SCALE_BYTES = 4


class Type(msgspec.Struct, frozen=True):
    """One type of export."""

    name: str
    description: str
    precision: str  # the builder's word
    options: tuple[str, ...] = ()
    bits: int = 32
    head_bits: int = 32  # of the output matrix
    zero_points: bool = False  # each block has one
    mixed: bool = False  # some matrices of some layers have 8 bits

    @property
    def quantized(self) -> bool:
        return self.bits < 32


TYPES = {
    type.name: type
    for type in (
        Type("fp32", "32 bits a weight: the tuned model's own numbers", "fp32"),
        Type("int8", "8 bits: a third of the size, nearly no loss", "int8", bits=8, head_bits=8),
        Type(
            "int4",
            "4 bits: the smallest and fastest",
            "int4",
            ("is_symmetric=false",),
            bits=4,
            head_bits=4,
            zero_points=True,
        ),
        Type(
            "int4-quality",
            "4 bits by a search, 8 where it hurts most: slower to write, nearer to the model",
            "int4",
            ("algo_config=k_quant", "matmul_mixed_precision=last_matmul:int8,mixed_layers:int8"),
            bits=4,
            head_bits=8,
            zero_points=True,
            mixed=True,
        ),
    )
}


def matrix_bytes(shape: tuple[int, ...], bits: int, zero_points: bool) -> int:
    """Bytes of a weight (out, in) in a file."""
    if bits == 32:
        return math.prod(shape) * 4
    rows, columns = shape
    blocks = -(-columns // BLOCK)
    points = -(-blocks * bits // 8) if zero_points else 0
    return rows * (blocks * (BLOCK * bits // 8 + SCALE_BYTES) + points)
