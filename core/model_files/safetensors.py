"""The header of a safetensors file: which tensors lie in it, and where.

Format: 8 bytes of little-endian header length, a JSON header, the data.
"""

from __future__ import annotations

import math
from pathlib import Path

import msgspec

from core.errors import AfinaError

SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}  # bytes of one value, of the types that are read
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
