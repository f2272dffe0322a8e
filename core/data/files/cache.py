"""What is remembered of files between two openings: where their rows lie, and their hashes.

Entries are keyed by path and hold the file's size, times, inode and a hash of samples of its
content; one that does not fit, or is damaged, is as good as none. Failing to write is no failure.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import tempfile
import time
import zlib
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO

import msgspec

from core.data.files.index import Numbers, RowIndex
from core.paths import sync_folder

LEAST_BYTES = 4 << 20  # smaller files are indexed faster than they are looked up
MOST_BYTES = 2 << 30  # of all entries; the ones used longest ago go first
MOST_COPY_BYTES = 50 << 30  # of all unpacked copies, likewise
_STALE_S = 24 * 3600.0
_MAGIC = b"afinaidx"
_VERSION = 1  # of what the scanners find: raised when a row may begin elsewhere
_SAMPLES, _SAMPLE_BYTES = 16, 4096


class Stamp(msgspec.Struct, frozen=True):
    """What tells one content of a path from another without reading all of it."""

    size: int
    mtime_ns: int
    ctime_ns: int  # can't be set back as mtime can
    inode: int
    samples: str  # hash of the head, the tail and places between

    @classmethod
    def of(cls, file: FileIO) -> Stamp:
        status = os.fstat(file.fileno())
        hashed, step = hashlib.blake2b(digest_size=16), max(1, status.st_size // _SAMPLES)
        last = max(0, status.st_size - _SAMPLE_BYTES)
        for place in (*range(0, status.st_size, step), last):
            hashed.update(os.pread(file.fileno(), _SAMPLE_BYTES, place))
        return cls(
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
            status.st_ino,
            hashed.hexdigest(),
        )


class _Head(msgspec.Struct, frozen=True):
    """The first part of an index on disk; the arrays follow."""

    stamp: Stamp
    layout: str
    end: int
    lengths: dict[str, int]
    crc: int


class FileCache:
    """The entries in one cache folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries = folder / "index"
        self.copies = folder / "unpacked"

    def load_index(self, path: Path, file: FileIO, layout: str) -> RowIndex | None:
        """The index of a file in this very state; its arrays stay on disk, mapped."""
        entry = self._entry(path, "rows")
        try:
            with open(entry, "rb") as cached:
                head = _read_head(cached.read(1 << 16))
                if head is None or head.layout != layout or head.stamp != Stamp.of(file):
                    return None
                place = _payload_start(cached)
                if not _is_whole(cached, place, head):
                    return None
                mapped = memoryview(mmap.mmap(cached.fileno(), 0, access=mmap.ACCESS_READ))
            os.utime(entry)
        except (OSError, ValueError):
            return None
        parts: dict[str, memoryview] = {}
        for name, code in RowIndex.CODES.items():
            size = head.lengths[name] * 8
            parts[name] = mapped[place : place + size].cast(code)
            place += size
        return RowIndex.of(parts, head.end)

    def store_index(self, path: Path, file: FileIO, layout: str, index: RowIndex) -> None:
        """Remembers an index, if the file is large and has not changed meanwhile."""
        stamp = Stamp.of(file)
        if stamp.size < LEAST_BYTES:
            return
        parts = index.parts()
        head = _Head(
            stamp,
            layout,
            index.end,
            {name: len(numbers) for name, numbers in parts.items()},
            _crc(parts),
        )
        words = msgspec.json.encode(head)
        words += b" " * (-len(words) % 8)
        start = _MAGIC + struct.pack("<II", _VERSION, len(words)) + words
        self._write(self._entry(path, "rows"), [start, *parts.values()])

    def load_hash(self, path: Path, file: FileIO) -> str | None:
        """The hash of a file in this very state."""
        try:
            entry = msgspec.json.decode(
                self._entry(path, "hash").read_bytes(), type=tuple[Stamp, str]
            )
        except (OSError, msgspec.MsgspecError, ValueError):
            return None
        return entry[1] if entry[0] == Stamp.of(file) else None

    def store_hash(self, path: Path, file: FileIO, digest: str) -> None:
        stamp = Stamp.of(file)
        if stamp.size >= LEAST_BYTES:
            self._write(self._entry(path, "hash"), [msgspec.json.encode((stamp, digest))])

    def find_copy(self, path: Path, file: FileIO, suffix: str) -> Path | None:
        """The unpacked copy of a file in this very state."""
        for copy in self.copies.glob(f"{self._copy_name(path, file)}-*{suffix}"):
            size = copy.stem.rpartition("-")[2]
            with suppress(OSError):
                if copy.stat().st_size == int(size):
                    os.utime(copy)
                    return copy
        return None

    def keep_copy(self, path: Path, file: FileIO, part: Path, suffix: str) -> Path:
        """Gives an unpacked copy its name, which holds its size; others may go to make room."""
        name = f"{self._copy_name(path, file)}-{part.stat().st_size}{suffix}"
        copy = part.rename(self.copies / name)
        sync_folder(self.copies)
        prune(self.copies, MOST_COPY_BYTES, copy)
        return copy

    def _copy_name(self, path: Path, file: FileIO) -> str:
        stamp = msgspec.json.encode(Stamp.of(file))
        return hashlib.blake2b(_real(path) + stamp, digest_size=12).hexdigest()

    def _entry(self, path: Path, kind: str) -> Path:
        return self._entries / f"{hashlib.blake2b(_real(path), digest_size=12).hexdigest()}.{kind}"

    def _write(self, entry: Path, parts: list[bytes | Numbers]) -> None:
        """Writes an entry as a whole: beside its place, to the disk, then over the old one."""
        try:
            entry.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=entry.parent, prefix=f".{entry.name}.")
            try:
                with os.fdopen(handle, "wb") as file:
                    for part in parts:  # one after the other: joined, they would take their size
                        file.write(part)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(name, entry)
            finally:
                Path(name).unlink(missing_ok=True)
            prune(entry.parent, MOST_BYTES, entry)
        except OSError:
            return


def _real(path: Path) -> bytes:
    return os.path.realpath(path).encode("utf-8", "surrogateescape")


def prune(folder: Path, most_bytes: int, keep: Path | None = None) -> None:
    """Deletes the files of a folder that were used longest ago, until the rest is small enough.

    What a process that broke off left half written goes after a day.
    """
    files = []
    for path in folder.iterdir():
        try:
            status = path.stat()
        except OSError:  # another process prunes too
            continue
        files.append((status.st_mtime, status.st_size, path))
    total = sum(size for _, size, _ in files)
    for used, size, path in sorted(files):
        unfinished = path.name.startswith(".") and used < time.time() - _STALE_S
        if path != keep and (unfinished or total > most_bytes):
            path.unlink(missing_ok=True)
            total -= size


def _read_head(start: bytes) -> _Head | None:
    if len(start) < 16 or start[:8] != _MAGIC:
        return None
    version, size = struct.unpack_from("<II", start, 8)
    if version != _VERSION:
        return None
    try:
        return msgspec.json.decode(start[16 : 16 + size], type=_Head)
    except msgspec.MsgspecError:
        return None


def _payload_start(cached: BinaryIO) -> int:
    cached.seek(12)
    return 16 + struct.unpack("<I", cached.read(4))[0]


def _is_whole(cached: BinaryIO, place: int, head: _Head) -> bool:
    """Whether the arrays are there to their last byte, as they were written."""
    if set(head.lengths) != set(RowIndex.CODES):
        return False
    if os.fstat(cached.fileno()).st_size != place + 8 * sum(head.lengths.values()):
        return False
    cached.seek(place)
    crc = 0
    while block := cached.read(1 << 20):
        crc = zlib.crc32(block, crc)
    return crc == head.crc


def _crc(parts: dict[str, Numbers]) -> int:
    crc = 0
    for numbers in parts.values():
        crc = zlib.crc32(numbers, crc)
    return crc
