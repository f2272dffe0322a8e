"""Reading safetensors by seek and read: headers first, then one tensor at a time as float32.

`safe_open` maps the whole file and the process's memory shows it all; here only the tensor that was
asked for is in memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import AfinaError
from core.model_files.json_file import require_json
from core.model_files.safetensors import SIZES, Entry, read_header

if TYPE_CHECKING:
    import numpy as np

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


class Weights:
    """The tensors of one or more safetensors files, by name."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.paths = list(paths)
        self.entries: dict[str, Entry] = {}
        for path in self.paths:
            for entry in read_header(path):
                if entry.name in self.entries:
                    first = self.entries[entry.name].path.name
                    raise AfinaError(
                        f'The tensor "{entry.name}" is in "{first}" and in "{path.name}".',
                        "Save the model again.",
                    )
                self.entries[entry.name] = entry

    @property
    def parameters(self) -> int:
        return sum(entry.parameters for entry in self.entries.values())

    def shape(self, name: str) -> tuple[int, ...]:
        return self.entries[name].shape

    def read(self, name: str) -> np.ndarray:
        """One tensor as a float32 array of its shape. Raises AfinaError for other number types."""
        shape = self.entries[name].shape
        return self.rows(name, 0, shape[0] if shape else 1).reshape(shape)

    def rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Some places of a tensor's first axis as float32. Raises AfinaError as `read` does."""
        import numpy as np

        entry = self.entries[name]
        if entry.dtype not in SIZES:
            raise AfinaError(
                f'The tensor "{name}" in "{entry.path}" is stored as {entry.dtype}.',
                "Export needs weights in F32, F16 or BF16, not quantized ones.",
            )
        row = math.prod(entry.shape[1:]) * SIZES[entry.dtype]  # bytes
        data = np.empty((stop - start) * row, dtype=np.uint8)
        with open(entry.path, "rb", buffering=0) as file:
            file.seek(entry.start + start * row)
            if _read_into(file, data) != data.nbytes:
                raise AfinaError(
                    f'"{entry.path}" ends in the middle of the tensor "{name}".',
                    "The file is cut short: copy or save it again.",
                )
        return to_float32(data, entry.dtype).reshape(stop - start, *entry.shape[1:])


def _read_into(file: FileIO, data: np.ndarray) -> int:
    """Fills an array of bytes; returns how many there were. The system reads 2 GB at a time."""
    view, done = data.data, 0
    while done < len(view) and (count := file.readinto(view[done:])):
        done += count
    return done


def open_weights(folder: Path) -> Weights:
    """The weights of a model folder: one file, or the shards that its index names."""
    if (folder / SINGLE).is_file():
        return Weights([folder / SINGLE])
    if not (folder / INDEX).is_file():
        other = sorted(p.name for p in folder.glob("*.bin")) if folder.is_dir() else []
        raise AfinaError(
            f'There are no safetensors weights in "{folder}".',
            f'There is "{other[0]}": save the model again as safetensors.'
            if other
            else f"Name a folder with {SINGLE} or {INDEX}.",
        )
    index = require_json(folder / INDEX).get("weight_map", {})
    paths = [folder / name for name in sorted(set(index.values()))]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise AfinaError(
            f'"{folder}" lacks {len(missing)} of {len(paths)} shards, first "{missing[0]}".',
            "Copy the missing files beside the others.",
        )
    weights = Weights(paths)
    absent = sorted(set(index) - set(weights.entries))
    if absent:
        raise AfinaError(
            f'The index of "{folder}" names the tensor "{absent[0]}", and no shard has it.',
            "Save the model again.",
        )
    return weights


def to_float32(data: np.ndarray | bytes, dtype: str) -> np.ndarray:
    """Little-endian values as a flat, writable float32 array; exact for all but F64."""
    import numpy as np

    if dtype == "BF16":  # the upper half of a float32
        widened = np.frombuffer(data, dtype="<u2").astype(np.uint32)
        widened <<= 16
        return widened.view(np.float32)
    values = np.frombuffer(data, dtype={"F64": "<f8", "F32": "<f4", "F16": "<f2"}[dtype])
    return values.astype(np.float32, copy=not values.flags.writeable)
