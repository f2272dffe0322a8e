"""Reading safetensors by seek and read: headers first, then one tensor at a time as float32.

`safe_open` maps the whole file and the process's memory shows it all; here only the tensor that was
asked for is in memory. Format: 8 bytes of little-endian header length, a JSON header, the data.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from core.errors import AfinaError

if TYPE_CHECKING:
    import numpy as np

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}  # bytes of one value
HEADER_LIMIT = 100_000_000  # bytes; the format's own limit


class Entry(msgspec.Struct, frozen=True):
    """Where one tensor lies."""

    name: str
    dtype: str  # as safetensors writes it: "F32", "BF16", ...
    shape: tuple[int, ...]
    path: Path
    start: int  # offset in the file
    stop: int

    @property
    def parameters(self) -> int:
        return math.prod(self.shape)


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
    index = read_json(folder / INDEX).get("weight_map", {})
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


def read_header(path: Path) -> list[Entry]:
    """The tensors of one file, in the order in which they lie in it."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, HEADER_LIMIT):
            raise AfinaError(
                f'"{path}" is not a safetensors file: its header of {length:,} bytes does not fit '
                f"into {size:,} bytes.",
                "The file is cut short or of another kind: copy or save it again.",
            )
        text = file.read(length)
    try:
        header = msgspec.json.decode(text)
        entries = [
            _entry(path, name, value, 8 + length)
            for name, value in header.items()
            if name != "__metadata__"
        ]
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise AfinaError(
            f'The header of "{path}" can\'t be read: {error}.', "Save the model again."
        ) from error
    for entry in entries:
        if entry.stop > size:
            raise AfinaError(
                f'"{path}" has {size:,} bytes, and the tensor "{entry.name}" ends at '
                f"{entry.stop:,}.",
                "The file is cut short: copy or save it again.",
            )
    return sorted(entries, key=lambda entry: entry.start)


def _entry(path: Path, name: str, value: dict, base: int) -> Entry:
    start, stop = value["data_offsets"]
    entry = Entry(name, value["dtype"], tuple(value["shape"]), path, base + start, base + stop)
    if entry.dtype in SIZES and entry.parameters * SIZES[entry.dtype] != stop - start:
        raise ValueError(f'the tensor "{name}" has {stop - start} bytes for {entry.shape}')
    return entry


def to_float32(data: np.ndarray | bytes, dtype: str) -> np.ndarray:
    """Little-endian values as a flat, writable float32 array; exact for all but F64."""
    import numpy as np

    if dtype == "BF16":  # the upper half of a float32
        widened = np.frombuffer(data, dtype="<u2").astype(np.uint32)
        widened <<= 16
        return widened.view(np.float32)
    values = np.frombuffer(data, dtype={"F64": "<f8", "F32": "<f4", "F16": "<f2"}[dtype])
    return values.astype(np.float32, copy=not values.flags.writeable)


def read_json(path: Path) -> dict:
    """A JSON object in a file of a model folder. Raises AfinaError when it is not one."""
    try:
        value = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AfinaError(f'Can\'t read "{path}": {reason}.', "Copy or save it again.") from error
    if not isinstance(value, dict):
        raise AfinaError(f'"{path}" holds no JSON object.', "Copy or save it again.")
    return value
