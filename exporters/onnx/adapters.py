"""A LoRA as an .onnx_adapter file: its matrices by the names of a model's inputs, scaled.

PEFT's A (r, in) and B (out, r) become A^T (in, r) and scale·B^T (r, out). Where a node of the graph
stands for several layers, their ranks lie side by side in A, and B has zeros where a layer's rank
meets another's outputs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import AfinaError
from core.figures import size
from core.model_files.onnx import About, Site
from core.paths import sync_folder
from exporters.weights.adapter import Adapter
from exporters.weights.merge import INPUT, OUTPUT, Merged

if TYPE_CHECKING:
    import numpy as np

FORMAT = 1  # of the names and orders in here; written as the file's adapter version
LARGEST_BYTES = 2**31 - 2**20  # offsets in a FlatBuffer are 31 bits
INSTEAD = "Export onnx:int4 or another type without multi-: the adapter is merged there."


def refuse_unfit(adapter: Adapter, base: Merged) -> None:
    """Raises AfinaError with the reason where an adapter is more than A and B of linear layers."""
    for name, parts in adapter.changes.items():
        kinds = set(parts)
        same_rows = "base" in kinds and adapter.shape(name, ()) == base.shapes[_stored(base, name)]
        if kinds == {"A", "B"} or (kinds == {"A", "B", "base"} and same_rows):
            continue
        if "factor" in kinds:
            reason = "is an IA3 adapter, which scales activations"
        elif "magnitude" in kinds:
            reason = f'is a DoRA: it divides by the norm of the merged "{name}"'
        elif "whole" in kinds:
            reason = f'replaces the whole of "{name}" (modules_to_save)'
        elif "embedding A" in kinds:
            reason = f'changes the embedding "{name}"'
        else:
            reason = f'was trained after "{name}" got other rows'
        raise AfinaError(
            f'The adapter "{adapter.folder}" {reason}, and an ONNX adapter holds A and B of linear '
            "layers only.",
            INSTEAD,
        )


def refuse_other_base(adapter: Adapter, base: Merged) -> None:
    """Raises AfinaError where the adapter lies over another output matrix than the base has: PEFT
    saves the one that it was trained on.
    """
    import numpy as np

    for name, parts in adapter.changes.items():
        if "base" not in parts:
            continue
        own = base.read(_stored(base, name))
        if not np.array_equal(adapter.weights.read(parts["base"]), own):
            raise AfinaError(
                f'The adapter "{adapter.folder}" holds another "{name}" than its base model.',
                INSTEAD,
            )


def _stored(base: Merged, name: str) -> str:
    """Where a base has a tensor: a tied output matrix is the input's."""
    return INPUT if name == OUTPUT and base.tied else name


def matrices(adapter: Adapter, sites: Iterable[Site]) -> dict[str, np.ndarray]:
    """The adapter's tensors by the names of a model's inputs, float32; layers that it doesn't
    change are left to the model's empty ones. Raises AfinaError where one has no place.
    """
    found: dict[str, np.ndarray] = {}
    placed: set[str] = set()
    for site in sites:
        tensors = dict.fromkeys(piece.tensor for piece in site.pieces)
        changed = [name for name in tensors if name in adapter.changes]
        if changed:
            found[site.a], found[site.b] = _matrices_at(adapter, site, changed)
            placed.update(changed)
    lost = sorted(set(adapter.changes) - placed)
    if lost:
        raise AfinaError(
            f'The adapter "{adapter.folder}" changes {len(lost)} layers that the ONNX graph has no '
            f'place for, first "{lost[0]}".',
            INSTEAD,
        )
    return found


def _matrices_at(
    adapter: Adapter, site: Site, changed: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """A (in, ranks) and B (ranks, out) of one site, the scale folded into B."""
    import numpy as np

    down, up = [], []
    for name in changed:
        a = adapter.weights.read(adapter.changes[name]["A"])  # (r, in)
        b = adapter.weights.read(adapter.changes[name]["B"])  # (out, r)
        if a.shape[1] != site.inputs:
            raise AfinaError(
                f'The adapter "{adapter.folder}" has {a.shape[1]} inputs for "{name}", and the '
                f"base model {site.inputs}.",
                "It was trained on another model: name that one.",
            )
        scaled = np.float32(adapter.scale(name, a.shape[0])) * b.T  # (r, out)
        rows = np.zeros((a.shape[0], site.outputs), np.float32)
        place = 0
        for piece in site.pieces:
            width = piece.stop - piece.start
            if piece.tensor == name:
                rows[:, place : place + width] = scaled[:, piece.start : piece.stop]
            place += width
        down.append(a.T)
        up.append(rows)
    return np.ascontiguousarray(np.concatenate(down, axis=1)), np.concatenate(up)


def write_adapter(adapter: Adapter, base: About, path: Path) -> None:
    """Writes the file for a base, made durable; it is unfinished until the caller renames it."""
    from onnxruntime import AdapterFormat, OrtValue

    arrays = matrices(adapter, base.sites)
    total = sum(array.nbytes for array in arrays.values())
    if total > LARGEST_BYTES:
        raise AfinaError(
            f'The adapter "{adapter.folder}" takes {size(total)}, and an .onnx_adapter file holds '
            f"{size(LARGEST_BYTES)}.",
            INSTEAD,
        )
    values = {name: OrtValue.ortvalue_from_numpy(array) for name, array in arrays.items()}
    file: Any = AdapterFormat()  # asks for a PathLike and takes a str
    file.set_adapter_version(FORMAT)
    file.set_model_version(base.base_number)
    file.set_parameters(values)
    file.export_adapter(str(path))
    with open(path, "rb") as written:
        os.fsync(written.fileno())
    sync_folder(path.parent)
