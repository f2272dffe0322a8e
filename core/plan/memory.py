"""What a run will hold in memory, estimated from the model's files. Loads no torch.

Beside real runs on a CPU (5 to 43 M parameters, torch 2.13) it came out at 0.74 to 0.87 of
the truth, and at 0.63 with gradient checkpointing: it advises, it promises nothing.
"""

from __future__ import annotations

import math
from pathlib import Path

import msgspec

from core.config import Config
from core.errors import AfinaError

_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "I8": 1, "U8": 1, "I64": 8}
LIBRARIES_BYTES = 550 * 2**20  # of a worker with torch, transformers, peft and TRL loaded
_OUTSIDE = ("embed", "lm_head", "wte", "wpe")  # two-dimensional, and no linear layer of a block


class ModelShape(msgspec.Struct, frozen=True):
    """What the headers of the weights and config.json say."""

    family: str
    parameters: int
    stored_bytes: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    vocabulary: int
    linear: dict[str, tuple[int, int]]  # name of each linear layer: (out, in)
    tensors: dict[str, tuple[int, ...]] = {}  # shape of each tensor that is stored


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


def read_shape(folder: Path) -> ModelShape:
    """The shape of a model folder; only the headers of its weights are read."""
    config = _json(folder / "config.json")
    tensors: dict[str, tuple[str, list[int]]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors.update(_header(path))
    if not tensors:
        raise AfinaError(f'There are no safetensors weights in "{folder}".')
    text = config.get("text_config") or config
    hidden = int(text.get("hidden_size") or text.get("n_embd") or 0)
    return ModelShape(
        family=str(config.get("model_type", "")),
        parameters=sum(math.prod(shape) for _, shape in tensors.values()),
        stored_bytes=sum(
            _BYTES.get(kind, 2) * math.prod(shape) for kind, shape in tensors.values()
        ),
        hidden=hidden,
        intermediate=int(text.get("intermediate_size") or 4 * hidden),
        layers=int(text.get("num_hidden_layers") or text.get("n_layer") or 0),
        heads=int(text.get("num_attention_heads") or text.get("n_head") or 1),
        vocabulary=int(text.get("vocab_size") or 0),
        linear={
            name.removesuffix(".weight"): (shape[0], shape[1])
            for name, (_, shape) in tensors.items()
            if len(shape) == 2
            and name.endswith(".weight")
            and not any(word in name for word in _OUTSIDE)
        },
        tensors={name: tuple(size) for name, (_, size) in tensors.items()},
    )


def trainable_parameters(shape: ModelShape, config: Config) -> int:
    """Parameters that a run trains: all of them, or the adapter's two matrices a layer."""
    method = config.method
    if method.kind == "full":
        return shape.parameters
    words = [word.strip() for word in method.target_modules.split(",")]
    count = 0
    for name, (out, into) in shape.linear.items():
        if words == ["all-linear"] or any(f".{name}".endswith(f".{word}") for word in words):
            count += method.rank * (out + into) + (out if method.dora else 0)
    return count


def estimate(shape: ModelShape, config: Config, bfloat16: bool, objective: str = "sft") -> Memory:
    """The memory of a training step at its fullest: a batch of max_length in every row.

    A preference is two rows. Full tuning under dpo and kto keeps the model as it was beside it.
    """
    trained = trainable_parameters(shape, config)
    full = config.method.kind == "full"
    unit = 2 if bfloat16 else 4  # bytes of a number in the products
    sides = 2 if objective == "dpo" else 1
    tokens = sides * config.train.per_device_train_batch_size * config.data.max_length
    weights = shape.parameters * (4 + (2 if bfloat16 else 0) if full else unit)
    if full and objective in ("dpo", "kto"):
        weights += 4 * shape.parameters
    return Memory(
        libraries=LIBRARIES_BYTES,
        # full tuning keeps float32 weights and casts them, layer by layer, for the products
        weights=weights,
        adapter=0 if full else 4 * trained,
        gradients=4 * trained,
        optimizer=8 * trained,  # AdamW's two moments in float32
        activations=_activations(shape, config, tokens, unit),
        # as computed, in float32, their gradient; a classifier has a few for each row
        logits=0 if objective == "classification" else tokens * shape.vocabulary * (unit + 4 + 4),
    )


def _activations(shape: ModelShape, config: Config, tokens: int, unit: int) -> int:
    """What the backward pass needs: in each block the inputs of its products and norms.

    Per token and block about 10 hidden and 4 intermediate vectors (Llama's block), the norms'
    inputs once more in float32, and the attention's weights over a whole row.
    """
    block = unit * (10 * shape.hidden + 4 * shape.intermediate) + 2 * 4 * shape.hidden
    block += unit * shape.heads * config.data.max_length
    if config.train.gradient_checkpointing:
        return tokens * (shape.layers * unit * shape.hidden + block)
    return tokens * shape.layers * block


def _header(path: Path) -> dict[str, tuple[str, list[int]]]:
    """Name, type and shape of each tensor of a safetensors file."""
    try:
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > 100 * 2**20:  # the format's own limit
                raise ValueError("its header is too long")
            values = msgspec.json.decode(file.read(size))
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise AfinaError(f'Can\'t read the weights "{path}": {error}.') from error
    return {
        name: (entry["dtype"], entry["shape"])
        for name, entry in values.items()
        if name != "__metadata__"
    }


def _json(path: Path) -> dict:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict)
    except (OSError, msgspec.DecodeError) as error:
        raise AfinaError(f'Can\'t read "{path}": {error}.') from error
