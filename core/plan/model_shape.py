"""The shape of a model, told from config.json and the headers of its weights. Loads no torch."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec

from core.errors import AfinaError

_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "I8": 1, "U8": 1, "I64": 8}
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
