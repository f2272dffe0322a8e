"""The shape of a model, told from config.json and the headers of its weights. Loads no torch."""

from __future__ import annotations

from pathlib import Path

import msgspec

from core.errors import AfinaError
from core.model_files.json_file import require_json
from core.model_files.safetensors import read_header

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
    config = require_json(folder / "config.json")
    tensors = {
        entry.name: entry
        for path in sorted(folder.glob("*.safetensors"))
        for entry in read_header(path)
    }
    if not tensors:
        raise AfinaError(f'There are no safetensors weights in "{folder}".')
    text = config.get("text_config") or config
    hidden = int(text.get("hidden_size") or text.get("n_embd") or 0)
    return ModelShape(
        family=str(config.get("model_type", "")),
        parameters=sum(entry.parameters for entry in tensors.values()),
        stored_bytes=sum(entry.stop - entry.start for entry in tensors.values()),
        hidden=hidden,
        intermediate=int(text.get("intermediate_size") or 4 * hidden),
        layers=int(text.get("num_hidden_layers") or text.get("n_layer") or 0),
        heads=int(text.get("num_attention_heads") or text.get("n_head") or 1),
        vocabulary=int(text.get("vocab_size") or 0),
        linear={
            name.removesuffix(".weight"): entry.shape
            for name, entry in tensors.items()
            if len(entry.shape) == 2
            and name.endswith(".weight")
            and not any(word in name for word in _OUTSIDE)
        },
        tensors={name: entry.shape for name, entry in tensors.items()},
    )
