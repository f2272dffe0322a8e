"""Compressed text: unpacked once into the cache, then read by offsets like any other text.

gzip is read by zlib, zstd by pyarrow, a block at a time: neither what a file claims about its size
nor a bomb decides how much memory is taken.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path

from core.data.files.cache import FileCache
from core.data.files.formats import Ending, open_file
from core.data.files.offsets import OffsetSource, hash_of
from core.data.files.prepared import PreparedSource
from core.data.files.rows import Cancelled, Fingerprint, OnProgress, Source
from core.errors import AfinaError
from core.figures import size as size_words
from core.paths import make_folder

BLOCK_BYTES = 1 << 20
RESERVED_BYTES = 256 << 20  # of disk that are left free
_CHECK_BYTES = 64 << 20  # of text between two looks at the disk


class Broken(Exception):
    """A stream that can't be read on, and why."""


class CompressedSource(PreparedSource):
    """One compressed text file."""

    def __init__(self, path: Path, ending: Ending, cache: FileCache) -> None:
        super().__init__(path)
        self._ending, self._cache = ending, cache
        with open_file(path) as file:
            self.fingerprint = Fingerprint.of(os.fstat(file.fileno()))

    @property
    def files(self) -> list[Path]:
        return [self.path]

    @property
    def _size(self) -> int:
        return self.fingerprint.size

    def _prepare(self, on_progress: OnProgress, cancelled: Cancelled) -> Source | None:
        ending = Ending(self._ending.suffix, self._ending.layout)
        with open_file(self.path) as file:
            self.fingerprint = Fingerprint.of(os.fstat(file.fileno()))
            copy = self._cache.find_copy(self.path, file, ending.suffix)
            self.cached = copy is not None
            if copy is None:
                copy = self._unpack(file, on_progress, cancelled)
        return OffsetSource(self.path, ending, self._cache, copy) if copy else None

    def _unpack(self, file: FileIO, on_progress: OnProgress, cancelled: Cancelled) -> Path | None:
        """The copy in the cache, complete or not there at all."""
        folder = make_folder(self._cache.copies)
        least = max(self._size, _claimed(file) if self._ending.compression == "gzip" else 0)
        self._require_disk(folder, least)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".unpacking.")
        try:
            with os.fdopen(handle, "wb") as part:
                if not self._write(file, part, on_progress, cancelled):
                    return None
                part.flush()
                os.fsync(part.fileno())
            return self._cache.keep_copy(self.path, file, Path(name), self._ending.suffix)
        except OSError as error:
            raise AfinaError(
                f'Can\'t unpack "{self.path}" into "{folder}": {error.strerror}.',
                "Choose another home with --home DIR or $AFINA_HOME.",
            ) from error
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name)

    def _write(self, file: FileIO, part, on_progress: OnProgress, cancelled: Cancelled) -> bool:  # noqa: ANN001
        """Whether the end was reached."""
        good, checked = 0, 0
        streams = {"gzip": _gzip_blocks, "zstd": _zstd_blocks}
        try:
            for behind, text in streams[self._ending.compression](file):
                part.write(text)
                good += len(text)
                if good - checked >= _CHECK_BYTES:
                    self._require_disk(self._cache.copies, 0)
                    checked = good
                on_progress(min(behind, self._size), self._size)
                if cancelled():
                    return False
        except Broken as error:
            raise AfinaError(
                f'"{self.path}" is damaged: {error}, after {good:,} bytes of text.',
                "Copy or download it again.",
            ) from error
        return True

    def _require_disk(self, folder: Path, wanted: int) -> None:
        free = shutil.disk_usage(folder).free
        if free < wanted + RESERVED_BYTES:
            raise AfinaError(
                f'Unpacking "{self.path}" takes {size_words(wanted + RESERVED_BYTES)} of disk or '
                f'more, and {size_words(free)} are free in "{folder}".',
                "Free some, or choose another home with --home DIR or $AFINA_HOME.",
            )

    def changed(self) -> bool:
        try:
            return Fingerprint.of(self.path.stat()) != self.fingerprint
        except OSError:
            return True

    def content_hash(self) -> str:
        return hash_of(self.path, self._cache)


def _claimed(file: FileIO) -> int:
    """The size that a gzip file gives for its last member, modulo 4 GiB (RFC 1952, ISIZE)."""
    size = os.fstat(file.fileno()).st_size
    return int.from_bytes(os.pread(file.fileno(), 4, max(0, size - 4)), "little")


def _gzip_blocks(file: FileIO) -> Iterator[tuple[int, bytes]]:
    """(bytes of the file behind us, text) of all members, one after the other."""
    member, data, behind = zlib.decompressobj(wbits=31), b"", 0
    begun, ended = False, 0  # whether the member has taken any byte; members behind us
    while True:
        if not data:
            data = file.read(BLOCK_BYTES)
            behind += len(data)
            if not data:
                break
        if ended and not begun:
            data = data.lstrip(b"\0")  # members may be padded
            if not data:
                continue
        try:
            text = member.decompress(data, BLOCK_BYTES)
        except zlib.error as error:
            raise Broken(f"the gzip stream can't be read on ({error})") from error
        begun = True
        yield behind, text
        data = member.unconsumed_tail
        if member.eof:
            data = member.unused_data
            member, begun, ended = zlib.decompressobj(wbits=31), False, ended + 1
    if begun or not behind:
        raise Broken("the gzip stream breaks off")


def _zstd_blocks(file: FileIO) -> Iterator[tuple[int, bytes]]:
    """(bytes of the file behind us, text) of all frames, one after the other."""
    import pyarrow

    if not os.fstat(file.fileno()).st_size:
        raise Broken("the zstd stream breaks off")
    own = FileIO(os.dup(file.fileno()))  # the stream closes what it reads from
    stream = pyarrow.CompressedInputStream(pyarrow.PythonFile(own, "r"), "zstd")
    try:
        while text := stream.read(BLOCK_BYTES):
            yield file.tell(), text
    except OSError as error:
        why = "breaks off" if "Truncated" in str(error) else f"can't be read on ({error})"
        raise Broken(f"the zstd stream {why}") from error
