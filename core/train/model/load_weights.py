"""Every weight of a checkpoint of full tuning, put over those of the model that goes on.

transformers' own way back passes over names it doesn't know with a warning, and its files name the
experts of a mixture otherwise than the model: a resumed run would go on with those of the base.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.errors import AfinaError
from core.train.checkpoint import readback


def load(model: Any, folder: Path) -> None:
    """Raises AfinaError when a weight of the model is not in the folder."""
    import torch

    held: dict[str, torch.Tensor] = model.state_dict()
    if not set(readback.names(folder)) <= held.keys():
        loaded = type(model).from_pretrained(
            str(folder), dtype=torch.float32, use_safetensors=True, trust_remote_code=False
        )
        model.load_state_dict(loaded.state_dict())
        return
    came = set()
    with torch.no_grad():
        for name, tensor in readback.tensors(folder):
            held[name].copy_(tensor)
            came.add(held[name].data_ptr())
    missing = [name for name, tensor in held.items() if tensor.data_ptr() not in came]
    if missing:  # tied weights are written once and came by their other name
        raise AfinaError(
            f'"{folder.name}" lacks {len(missing):,} weights of the model, "{missing[0]}" first.',
            "Go on from another checkpoint, or start a new run.",
        )
