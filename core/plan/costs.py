"""Bytes of the parts of a training step: weights, optimizer, activations, logits.

What is stored by type is counted; what the backward keeps was counted tensor by tensor on Llama's
block and then fitted to real steps (docs/planning.md has the ranges). Loads no torch.
"""

from __future__ import annotations

import math

from core.config import Config
from core.plan.counting import trainable_parameters
from core.plan.model_shape import ModelShape

# Bytes of a frozen weight that is quantized, with its scales: nf4 has an 8-bit scale for 64 values
# and a float32 for 256 of these (QLoRA, arXiv 2305.14314, 3); int8 a float32 for each row
QUANTIZED = {"nf4": 0.5 + 1 / 64 + 4 / (64 * 256), "int8": 1.001}
EIGHT_BIT_LEAST = 4096  # values of a tensor, below which bitsandbytes keeps 32 bits
# What each kind keeps beside plain LoRA, in values for each output of a linear layer
KEPT_OUTPUTS = {"dora": 4.0, "ia3": 1.0, "nf4": 0.7, "int8": 0.35}
HIDDEN_VECTORS, INNER_VECTORS = 20.0, 8.0  # bytes a token and block in bfloat16 under LoRA
OVERHEAD = 1.5  # of what is kept: gradients on their way back, and room that stays unused
LOGIT_BYTES = 14  # as computed, in float32, their softmax and the gradient


def frozen_bytes(shape: ModelShape, config: Config, unit: int) -> int:
    """The base as it lies in memory under an adapter."""
    kind = config.method.quantization
    if kind == "none":
        return unit * shape.parameters
    inner = sum(math.prod(size) for size in shape.linear.values())
    rest = shape.parameters - inner
    largest = max((math.prod(size) for size in shape.linear.values()), default=0)
    return round(inner * QUANTIZED[kind]) + unit * (rest + largest)  # one is unpacked at a time


def learning_bytes(shape: ModelShape, config: Config, bfloat16: bool) -> int:
    """The weights of a fully tuned model: float32, with the casts that the products take."""
    trained = trainable_parameters(shape, config)
    frozen = shape.parameters - trained
    return trained * (6 if bfloat16 else 4) + frozen * (2 if bfloat16 else 4)


def optimizer_bytes(shape: ModelShape, config: Config) -> int:
    """The optimizer's state."""
    trained, kind = trainable_parameters(shape, config), config.train.optim
    if kind == "adamw":
        return 8 * trained
    if config.method.kind != "full":  # its matrices are narrow: what is saved on them is little
        return {"adamw_8bit": 3, "adafactor": 1, "muon": 4}[kind] * trained
    inner = sum(math.prod(size) for size in shape.linear.values())
    share = min(1.0, trained / max(1, inner))
    if kind == "adafactor":
        lines = sum(sum(size) for size in shape.tensors.values())
        return round(4 * share * lines)
    if kind == "muon":
        return round(share * 4 * inner + 8 * max(0, trained - share * inner))
    small = sum(
        math.prod(size)
        for name, size in shape.tensors.items()
        if math.prod(size) < EIGHT_BIT_LEAST or "embed" in name
    )
    return round(2.04 * max(0, trained - small) + 8 * min(small, trained))


def activation_bytes(shape: ModelShape, config: Config, unit: int, row_tokens: float) -> float:
    """What a token leaves for the backward, over all blocks; its document has so many tokens."""
    block = _block_bytes(shape, config, unit, row_tokens)
    if config.train.gradient_checkpointing:
        return 4 * shape.hidden * shape.layers + OVERHEAD * block  # one block at a time
    learning = config.method.trainable_layers or shape.layers
    return OVERHEAD * min(learning, shape.layers) * block


def _block_bytes(shape: ModelShape, config: Config, unit: int, row_tokens: float) -> float:
    method = config.method
    kept = HIDDEN_VECTORS * shape.hidden + INNER_VECTORS * shape.intermediate
    outputs = sum(size[0] for size in shape.linear.values()) / max(1, shape.layers)
    for name in ("dora" * method.dora, method.kind, method.quantization):
        kept += 2 * KEPT_OUTPUTS.get(name, 0.0) * outputs
    return unit / 2 * kept + unit * 2 * shape.heads * row_tokens


def logit_bytes(shape: ModelShape) -> int:
    """What a token that is scored takes beside its activations."""
    return LOGIT_BYTES * shape.vocabulary
