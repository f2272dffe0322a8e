"""Encoded rows kept beside the home, so that the next run on the same data need not encode them.

One file holds the table of a source. It is found by a key of everything that decides the tokens:
the content, how rows are read, tokenizer, template and options. A damaged one is made anew.
"""

from __future__ import annotations

import logging
import mmap
import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from core.data.encode.columns import KINDS
from core.data.files.cache import prune
from core.paths import cache_folder
from core.train.loader.encoded_table import Table, Words

if TYPE_CHECKING:
    from numpy import ndarray

VERSION = 1  # to be raised with every change to how rows become tokens, or to this format
MOST_BYTES = 8 << 30  # of all tables, some 2 billion tokens; those used longest ago are dropped
_ALIGNED = 64  # bytes, so that mapped arrays begin where numbers may
_MAGIC = b"afinarow"


class Head(msgspec.Struct):
    """What stands before the numbers."""

    rows: int
    tokens: int
    words: Words
    crc: int  # of all numbers


class EncodedCache:
    """The folder of kept tables; None as the folder is the one of the home."""

    def __init__(self, folder: Path | None = None, most_bytes: int = MOST_BYTES) -> None:
        self.folder = folder or cache_folder() / "encoded"
        self.most_bytes = most_bytes

    def load(self, key: str, rows: int) -> Table | None:
        """A kept table of so many rows, mapped from the disk; None if there is none or no whole."""
        path = self.folder / f"{key}.rows"
        try:
            with path.open("rb") as file:
                table = _read(file, rows)
            os.utime(path)  # used now: the last to be dropped
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            logging.getLogger(__name__).warning("Encoding again: %s is damaged: %s", path, error)
            return None
        return table

    def store(self, key: str, table: Table) -> None:
        """Keeps a table; a full disk or a read-only home is no reason to fail."""
        arrays = [*(table.columns[name] for name in KINDS), table.tokens]
        crc = 0
        for part in arrays:
            crc = zlib.crc32(part.data, crc)
        head = msgspec.json.encode(Head(len(table), len(table.tokens), table.words, crc))
        path = self.folder / f"{key}.rows"
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(_MAGIC + len(head).to_bytes(8, "little") + head)
                for part in arrays:
                    file.write(b"\0" * (-file.tell() % _ALIGNED))
                    file.write(part.data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            prune(self.folder, self.most_bytes, path)
        except OSError:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _read(file: BinaryIO, rows: int) -> Table:
    """Raises ValueError for what is not a whole table of so many rows."""
    import numpy

    start = file.read(16)
    if start[:8] != _MAGIC:
        raise ValueError("its first bytes are not those of encoded rows")
    size = int.from_bytes(start[8:], "little")
    if size > os.fstat(file.fileno()).st_size:
        raise ValueError("it ends early")
    head = msgspec.json.decode(file.read(size), type=Head)
    if head.rows != rows:
        raise ValueError(f"it has {head.rows:,} rows, not {rows:,}")
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    place, crc = 16 + size, 0
    columns: dict[str, ndarray] = {}
    for name, kind, count in [*((n, k, rows) for n, k in KINDS.items()), ("", "u4", head.tokens)]:
        place += -place % _ALIGNED
        columns[name] = numpy.frombuffer(mapped, kind, count, place)
        crc = zlib.crc32(columns[name].data, crc)
        place += columns[name].nbytes
    if crc != head.crc:
        raise ValueError("its numbers are not those that were written")
    return Table(columns, columns.pop(""), head.words)
