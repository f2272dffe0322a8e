"""Floating-point operations that a training step needs, by the shape of the model. No torch.

A product of a token with a matrix of n weights is 2n operations; the backward needs as many for
the gradient of its input, and as many again for that of the weights if they learn: 6n a token
(Kaplan, arXiv 2001.08361, 2.1), 4n beside an adapter. Attention by document: 4 L^2 x width of a
block in the forward (PaLM, arXiv 2204.02311, B), of which causality leaves half (FlashAttention-2,
arXiv 2307.08691, 4.1). Norms, rotations and activations are left out, as everywhere.
"""

from __future__ import annotations

import math
import re

import msgspec

from core.config import Config
from core.plan.memory import trainable_parameters
from core.plan.model_shape import ModelShape

_BLOCK = re.compile(r"\.(\d+)\.")  # the number of a block in the name of a layer


class Flops(msgspec.Struct, frozen=True):
    """Operations of one step."""

    forward: float
    backward: float
    reference: float = 0.0  # forward of the model as it was, which preferences are compared to
    recomputed: float = 0.0  # forward once more under gradient checkpointing

    @property
    def needed(self) -> float:
        """What the step can't do without: the numerator of the MFU (PaLM, B)."""
        return self.forward + self.backward + self.reference

    @property
    def done(self) -> float:
        """What the device computes: for an estimate of the time."""
        return self.needed + self.recomputed


class Batch(msgspec.Struct, frozen=True):
    """What goes through the model in one step."""

    tokens: float  # real ones; where rows are padded, with the padding, for it is computed too
    squares: float  # sum of the squared lengths of the documents
    predicted: float  # tokens whose logits are computed

    @classmethod
    def of_rows(cls, tokens: float, row_tokens: float) -> Batch:
        """Of rows of about one length."""
        return cls(tokens, tokens * row_tokens, tokens)


def step_flops(
    shape: ModelShape, config: Config, tokens: float | Batch, objective: str = "sft"
) -> Flops:
    """Operations of a step over so many tokens; without a Batch, in rows of max_length."""
    batch = tokens
    if not isinstance(batch, Batch):
        batch = Batch.of_rows(batch, min(batch, config.data.max_length))
    forward = 2 * batch.tokens * _weights(shape) + 2 * batch.squares * _attention_width(shape)
    forward += 2 * batch.predicted * _head(shape)
    backward = _backward(shape, config, batch)
    adapter = 0.0
    if config.method.kind == "lora":
        adapter = batch.tokens * trainable_parameters(shape, config)
    return Flops(
        forward + 2 * adapter,
        backward + 4 * adapter,
        forward if objective in ("dpo", "kto") else 0.0,
        forward + 2 * adapter if config.train.gradient_checkpointing else 0.0,
    )


def has_experts(shape: ModelShape) -> bool:
    """Whether a token goes through some of the matrices only; `step_flops` counts all of them."""
    return any("expert" in name for name in shape.linear)


def _backward(shape: ModelShape, config: Config, batch: Batch) -> float:
    """The backward of the base: down to the lowest block that has something to learn."""
    full = config.method.kind == "full"
    lowest = 0
    if full and config.method.trainable_layers is not None:
        lowest = max(0, shape.layers - config.method.trainable_layers)
    share = 1 - lowest / shape.layers if shape.layers else 1.0
    each = 4 if full else 2  # operations a weight: gradient of the input, and of the weight itself
    return (
        each * batch.tokens * _weights(shape, lowest)
        + 4 * batch.squares * _attention_width(shape) * share
        + each * batch.predicted * _head(shape)
    )


def _weights(shape: ModelShape, lowest: int = 0) -> float:
    """Weights of the matrices that every token meets, from this block on."""
    return sum(math.prod(size) for name, size in shape.linear.items() if _block_of(name) >= lowest)


def _block_of(name: str) -> int:
    found = _BLOCK.search(f".{name}.")
    return int(found.group(1)) if found else 0


def _head(shape: ModelShape) -> float:
    return shape.vocabulary * shape.hidden


def _attention_width(shape: ModelShape) -> float:
    """Outputs of the queries, over all blocks."""
    named = [size[0] for name, size in shape.linear.items() if name.endswith("q_proj")]
    return sum(named) if named else shape.layers * shape.hidden
