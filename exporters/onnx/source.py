"""The folder that the builder reads: a model's configuration and tokenizer, without its weights."""

from __future__ import annotations

from pathlib import Path

import msgspec

from core.model_files.json_file import require_json
from exporters.onnx.families import family_of
from exporters.weights.merge import Merged
from exporters.weights.model_files import CONFIG, write_companions


def write_source(folder: Path, merged: Merged) -> None:
    """Writes it; config.json says what the merged tensors are, in words that the builder knows."""
    folder.mkdir(parents=True)
    write_companions(merged, folder, "f32")
    values = require_json(folder / CONFIG)
    values["architectures"] = [family_of(values).architecture]
    if values["model_type"] == "phi3":
        # where these differ, the builder takes it for longrope, which family_of refuses
        values["original_max_position_embeddings"] = values.setdefault(
            "max_position_embeddings", 4096
        )
    (folder / CONFIG).write_bytes(msgspec.json.encode(values))
