"""Surveys kept beside the home, so that a file is not read twice for the same answer.

One file holds what one pass found. It is found by a key of everything that decides it: the content,
the shape, and for tokens the tokenizer, the template and the options. A damaged one is ignored.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from core.data.files.cache import prune
from core.data.problems import RowProblem
from core.data.sample import Label
from core.paths import cache_folder

VERSION = 2  # to be raised with every change to what the passes find
MOST_BYTES = 2 << 30
WORTH_S = 0.3  # a pass that takes less is not kept
_PROBLEMS = 4096  # that are read at a time


class Head(msgspec.Struct):
    """What stands before the numbers."""

    rows: int
    columns: dict[str, str]  # name -> numpy type, in the order of the file
    problems: int
    labels: list[Label]
    languages: list[str]
    roles: dict[str, int]
    crc: int = 0  # of all that follows the head
    version: int = VERSION


class Kept(msgspec.Struct):
    """A pass as it was kept."""

    head: Head
    columns: dict[str, bytes]
    problems: Iterator[list[RowProblem]]


class AnalysisCache:
    """The folder of kept surveys; None as the folder is the one of the home."""

    def __init__(
        self,
        folder: Path | None = None,
        worth_s: float = WORTH_S,
        most_bytes: int = MOST_BYTES,  # of all surveys; those used longest ago are dropped
    ) -> None:
        self.folder = folder or cache_folder() / "survey"
        self.worth_s, self.most_bytes = worth_s, most_bytes

    def load(self, key: str, rows: int) -> Kept | None:
        """A kept pass over so many rows; None if there is none or it is damaged."""
        path = self.folder / f"{key}.survey"
        try:
            file = path.open("rb")
        except OSError:
            return None
        with file:
            head = _read_head(file)
            if head is None or head.version != VERSION or head.rows != rows:
                return None
            data = file.read()
        if zlib.crc32(data) != head.crc:
            return None
        with suppress(OSError):
            os.utime(path)  # used now: the last to be dropped
        return _kept(head, data)

    def store(self, key: str, head: Head, parts: list[bytes]) -> None:
        """Keeps a pass; a full disk or a read-only home is no reason to fail."""
        for part in parts:
            head.crc = zlib.crc32(part, head.crc)
        path = self.folder / f"{key}.survey"
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                encoded = msgspec.json.encode(head)
                file.write(len(encoded).to_bytes(8, "little") + encoded)
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            prune(self.folder, self.most_bytes, path)
        except OSError:
            temporary.unlink(missing_ok=True)


def key_of(*parts: Any) -> str:
    """A name for everything that decides a pass."""
    return hashlib.blake2b(msgspec.json.encode((VERSION, parts)), digest_size=20).hexdigest()


def model_hash(folder: Path) -> str:
    """A hash of the files of a model folder that tokens depend on: all but the weights."""
    hashed = hashlib.blake2b(digest_size=20)
    for path in sorted(folder.iterdir()):
        if path.suffix in (".json", ".jinja", ".txt", ".model") and path.is_file():
            hashed.update(path.name.encode() + b"\0" + path.read_bytes())
    return hashed.hexdigest()


def _read_head(file: BinaryIO) -> Head | None:
    size = int.from_bytes(file.read(8), "little")
    try:
        return msgspec.json.decode(file.read(min(size, 1 << 30)), type=Head)
    except (msgspec.MsgspecError, ValueError, MemoryError):
        return None


def _kept(head: Head, data: bytes) -> Kept:
    columns, place = {}, 0
    for name, kind in head.columns.items():
        size = head.rows * int(kind[1:])
        columns[name] = data[place : place + size]
        place += size
    sizes = memoryview(data[place : place + 4 * head.problems]).cast("I")
    return Kept(head, columns, _problems(memoryview(data)[place + 4 * head.problems :], sizes))


def _problems(data: memoryview, sizes: memoryview) -> Iterator[list[RowProblem]]:
    decode = msgspec.json.Decoder(RowProblem).decode
    batch: list[RowProblem] = []
    place = 0
    for size in sizes:
        batch.append(decode(data[place : place + size]))
        place += size
        if len(batch) == _PROBLEMS:
            yield batch
            batch = []
    yield batch
