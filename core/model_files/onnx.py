"""What an ONNX folder says of itself: genai_config.json, and afina.json where we wrote it.

Light: loads no onnxruntime.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import msgspec

from core.errors import AfinaError
from core.model_files.json_file import read_json

CONFIG, ABOUT = "genai_config.json", "afina.json"
GRAPH, DATA = "model.onnx", "model.onnx.data"  # as Afina names them
ADAPTERS = "adapters"  # the folder in it with the adapters that were exported for it
ADAPTER = ".onnx_adapter"
BUILDING = ".building"  # ends the name of a base for adapters that isn't whole


class Piece(msgspec.Struct, frozen=True):
    """Rows of a linear layer of the base model, as a part of what a node of the graph gives."""

    tensor: str  # "model.layers.0.self_attn.q_proj.weight"
    start: int
    stop: int


class Site(msgspec.Struct, frozen=True):
    """A node of the graph that an adapter can change: one linear layer, a part of one, or several.

    onnxruntime's builder joins q, k and v, and splits what phi3 has joined.
    """

    name: str  # "layers.0.attn.qkv_proj"
    pieces: tuple[Piece, ...]  # side by side in its output
    inputs: int
    outputs: int

    @property
    def a(self) -> str:
        """The graph's input of the form (inputs, rank)."""
        return f"{self.name}.lora_A"

    @property
    def b(self) -> str:
        """The graph's input of the form (rank, outputs)."""
        return f"{self.name}.lora_B"


class About(msgspec.Struct, frozen=True):
    """afina.json; a folder of another program has none."""

    type: str = "unknown"  # "int4"
    base: str = ""  # the base model of a folder that takes adapters
    base_files: dict[str, str] = {}  # a fingerprint by name
    sites: tuple[Site, ...] = ()  # none: it takes no adapters
    v: int = 1

    @property
    def base_number(self) -> int:
        """Of the base model, for the one field of an adapter file that can say what it goes with"""
        return zlib.crc32(msgspec.json.encode(sorted(self.base_files.items()))) & 0x7FFFFFFF


def about(folder: Path) -> About | None:
    """What we wrote of a folder; None where there is nothing that can be read."""
    try:
        return msgspec.json.decode((folder / ABOUT).read_bytes(), type=About)
    except (OSError, msgspec.MsgspecError):
        return None


def model_settings(folder: Path) -> dict[str, Any]:
    """The "model" of genai_config.json. Raises AfinaError where it is not there or not whole."""
    model = read_json(folder, CONFIG).get("model")
    if not isinstance(model, dict) or "decoder" not in model:
        raise AfinaError(
            f'"{folder}" holds no {CONFIG} that describes a model.',
            "Name a folder that Afina or onnxruntime-genai's builder exported.",
        )
    return model


def stop_ids(model: dict[str, Any]) -> list[int]:
    """The tokens that every program on onnxruntime-genai stops at."""
    value = model.get("eos_token_id")
    values = value if isinstance(value, list) else [value]
    return sorted({token for token in values if isinstance(token, int)})
