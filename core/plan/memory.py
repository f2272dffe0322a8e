"""What a run will hold in memory, estimated from the model's files. Loads no torch.

Beside twelve whole runs on a CPU (torch 2.13, docs/planning.md has them) it came out at 0.88 to
1.05 of the truth, and at 0.74 for LoRA with checkpointing: it advises, it promises nothing.
"""

from __future__ import annotations

import math

import msgspec

from core.config import Config
from core.plan import costs
from core.plan.counting import trainable_parameters
from core.plan.data_facts import DataFacts
from core.plan.layout import should_pack
from core.plan.model_shape import ModelShape

# Of a worker with torch, transformers, PEFT and TRL loaded; on a GPU that is the context's share
LIBRARIES_BYTES = {"cpu": 500 * 2**20, "cuda": 500 * 2**20}


class Memory(msgspec.Struct, frozen=True):
    """Estimated bytes by what they are for."""

    libraries: int
    weights: int
    adapter: int
    gradients: int
    optimizer: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        return sum(bytes_ for _, bytes_ in self.parts())

    def parts(self) -> list[tuple[str, int]]:
        """(name, bytes), without what is zero."""
        named = [(name, getattr(self, name)) for name in self.__struct_fields__]
        return [(name, size) for name, size in named if size]


def estimate(
    shape: ModelShape,
    config: Config,
    bfloat16: bool,
    objective: str = "sft",
    device: str = "cpu",
    data: DataFacts | None = None,
) -> Memory:
    """The memory of a training step at its fullest: the heaviest batch that the rows can make.

    Without the rows' facts every row has max_length tokens. A preference is two rows. Full tuning
    under dpo and kto keeps the model as it was beside it.
    """
    trained = trainable_parameters(shape, config)
    full = config.method.kind == "full"
    unit = 2 if bfloat16 else 4  # bytes of a number in the products
    weights = (
        costs.learning_bytes(shape, config, bfloat16)
        if full
        else costs.frozen_bytes(shape, config, unit)
    )
    if full and objective in ("dpo", "kto"):
        weights += 4 * shape.parameters
    batch = heaviest(config, objective, data)
    scored = batch.scored if device == "cpu" and objective == "sft" else batch.tokens
    kept = costs.activation_bytes(shape, config, unit, batch.row_tokens)
    return Memory(
        libraries=LIBRARIES_BYTES[device],
        # full tuning keeps float32 weights and casts them, layer by layer, for the products
        weights=weights,
        adapter=0 if full else 4 * trained,
        gradients=4 * trained,
        optimizer=costs.optimizer_bytes(shape, config),
        activations=round(batch.tokens * kept),
        # a classifier has a few for each row
        logits=0 if objective == "classification" else round(scored * costs.logit_bytes(shape)),
    )


class Heaviest(msgspec.Struct, frozen=True):
    """The heaviest batch of a run, as far as the rows are known."""

    tokens: float  # with padding, where rows are padded
    row_tokens: float
    scored: float


def heaviest(config: Config, objective: str, data: DataFacts | None) -> Heaviest:
    """What one pass may hold at most; of rows laid flat without bins, four deviations of the mean
    above it, as long rows rarely meet.
    """
    rows, longest = config.train.per_device_train_batch_size, config.data.max_length
    sides = 2 if objective in ("dpo", "orpo") else 1
    if data is None:
        return Heaviest(float(sides * rows * longest), longest, float(sides * rows * longest))
    mean = data.tokens / max(1, data.rows) / sides
    top = min(longest, data.longest or longest)
    if objective != "sft" or config.method.kind == "prompt":
        tokens = (
            sides
            * rows
            * (top + config.method.num_virtual_tokens * (config.method.kind == "prompt"))
        )
    elif should_pack(config, data.tokens):
        tokens = rows * longest
    else:
        tokens = min(rows * top, rows * mean + 2 * math.sqrt(rows) * (top - mean) / 2)
    share = min(1.0, 1.3 * data.supervised_share)  # of the batch with most of them
    return Heaviest(float(tokens), min(top, 1.5 * mean), tokens * share)


def token_bytes(shape: ModelShape, config: Config, bfloat16: bool) -> tuple[float, float]:
    """What a token takes in a step, and what one that is scored takes beside it."""
    unit = 2 if bfloat16 else 4
    return costs.activation_bytes(shape, config, unit, 0), costs.logit_bytes(shape)
