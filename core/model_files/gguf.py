"""The key values at the start of a GGUF file, read without a library and without the weights.

Format: docs/gguf.md of ggml. Little-endian; version 2 and later.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

from core.errors import AfinaError

Value = int | float | str | bool
SCALARS = {  # number of a type in the file: its struct code
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
STRING, ARRAY = 8, 9
LONGEST = 1 << 30  # bytes of a string; more is a broken file


def read_keys(path: Path, wanted: Collection[str]) -> dict[str, Value]:
    """Those of the wanted keys that a file has; arrays are passed over.

    Raises AfinaError for what is not a GGUF file or ends too early.
    """
    try:
        with open(path, "rb") as file:
            if file.read(4) != b"GGUF":
                raise AfinaError(f'"{path}" is not a GGUF file.', "Name one that is.")
            version, _, count = struct.unpack("<IQQ", _exactly(file, 20))
            if not 2 <= version < 1 << 16:  # beyond: the bytes stand the other way round
                raise AfinaError(
                    f'"{path}" is a GGUF file of version {version}, not 2 or 3.',
                    "Convert it anew with a current program.",
                )
            return _read(file, count, wanted)
    except (EOFError, ValueError, KeyError) as error:
        raise AfinaError(
            f'The header of "{path}" is broken.', "The file is cut short: copy it again."
        ) from error
    except OSError as error:
        raise AfinaError(f'Can\'t read "{path}": {error.strerror}.', "Check the path.") from error


def _read(file: BinaryIO, count: int, wanted: Collection[str]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for _ in range(count):
        key = _string(file).decode()
        kind = _number(file, "<I")
        if kind == ARRAY:
            _skip_array(file)
            continue
        value = _string(file) if kind == STRING else _number(file, SCALARS[int(kind)])
        if key in wanted:
            found[key] = value.decode() if isinstance(value, bytes) else value
            if len(found) == len(wanted):
                break
    return found


def _skip_array(file: BinaryIO) -> None:
    kind, count = struct.unpack("<IQ", _exactly(file, 12))
    if kind == STRING:
        for _ in range(count):
            _string(file)
    else:
        file.seek(count * struct.calcsize(SCALARS[kind]), 1)


def _string(file: BinaryIO) -> bytes:
    return _exactly(file, int(_number(file, "<Q")))


def _number(file: BinaryIO, code: str) -> int | float | bool:
    return struct.unpack(code, _exactly(file, struct.calcsize(code)))[0]


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count) if count < LONGEST else b""
    if len(data) != count:
        raise EOFError
    return data
