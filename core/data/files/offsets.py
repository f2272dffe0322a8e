"""Rows of text containers by byte offsets: JSON lines, JSON that spans lines, tables of text, text.

Nothing of a row is kept: it is read from the file whenever somebody asks for it.
"""

from __future__ import annotations

import hashlib
import os
import threading
from bisect import bisect_left
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Self

import msgspec

from core.data.files.cache import FileCache
from core.data.files.decode import decode_row, decode_text
from core.data.files.delimited import Columns, read_columns, scan_delimited
from core.data.files.formats import Ending, open_file
from core.data.files.index import Batch, RowIndex
from core.data.files.lines import scan_lines
from core.data.files.rows import (
    LONGEST_ROW_BYTES,
    Block,
    Cancelled,
    Fingerprint,
    OnProgress,
    Row,
    Source,
    gone,
    too_long,
)
from core.data.files.scan import scan_document, scan_paragraphs, scan_values
from core.data.problems import RowProblem
from core.errors import AfinaError

_BOM = b"\xef\xbb\xbf"
_READ_BYTES = 1 << 20  # at a time, when rows are read in order


class OffsetSource(Source):
    """One text file; `copy` is where its text lies if that is not the file itself."""

    def __init__(
        self, path: Path, ending: Ending, cache: FileCache | None = None, copy: Path | None = None
    ) -> None:
        self.path, self._place = path, copy or path
        self._ending, self._cache = ending, cache
        self._lock = threading.Lock()  # of the open file
        self._file: FileIO | None = None
        self._begin_file()

    def _begin_file(self) -> None:
        """Opens the file as it is now and looks at its head."""
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file = file = open_file(self._place)
        self.fingerprint = Fingerprint.of(os.fstat(file.fileno()))
        head = file.read(4096)
        _refuse_utf16(self.path, head)
        begin = len(_BOM) if head.startswith(_BOM) else 0
        self.layout = self._ending.layout or "lines"
        self._columns: Columns | None = None
        if self.layout == "csv":
            self._columns = read_columns(self.path, file, begin, self._ending.suffix)
            begin = self._columns.end
        elif self.layout == "lines":
            self.layout = _json_layout(self._ending.suffix, file, begin)
        self._begin = begin
        self._index = RowIndex(begin)
        self.indexed = self.cached = False

    def __len__(self) -> int:
        return len(self._index)

    @property
    def files(self) -> list[Path]:
        return [self.path]

    @property
    def problems(self) -> list[RowProblem]:
        return list(self._columns.problems) if self._columns else []

    def close(self) -> None:
        self.rest()

    def rest(self) -> None:
        """Closes the file until a row is asked for: there may be thousands."""
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file = None

    def index(
        self, on_progress: OnProgress | None = None, cancelled: Cancelled | None = None
    ) -> Self:
        """Finds all rows, block by block; on_progress receives (bytes behind us, bytes in all)."""
        if self.changed() or len(self._index):
            self._begin_file()
        with open_file(self._place) as file:
            known = self._cache.load_index(self._place, file, self.layout) if self._cache else None
            if known is not None:
                self._index, self.cached = known, True
            elif not self._scan(file, on_progress, cancelled):
                return self
            elif self._cache:
                self._cache.store_index(self._place, file, self.layout, self._index)
                mapped = self._cache.load_index(self._place, file, self.layout)
                self._index = mapped or self._index  # what is on disk takes no memory
        self.indexed = True
        if on_progress:
            on_progress(self.fingerprint.size, self.fingerprint.size)
        return self

    def _scan(
        self, file: FileIO, on_progress: OnProgress | None, cancelled: Cancelled | None
    ) -> bool:
        """Whether the end was reached."""
        for batch in self._batches(file):
            self._index.extend(batch)
            if on_progress:
                on_progress(min(batch.read, self.fingerprint.size), self.fingerprint.size)
            if cancelled and cancelled():
                return False
        return True

    def _batches(self, file: FileIO) -> Iterator[Batch]:
        if self._columns is not None:
            return scan_delimited(file, self._columns)
        if self.layout in ("array", "values"):
            return scan_values(file, self._begin, in_array=self.layout == "array")
        scanners = {"lines": scan_lines, "paragraphs": scan_paragraphs, "document": scan_document}
        return scanners[self.layout](file, self._begin)

    def raw(self, index: int) -> bytes:
        if not 0 <= index < len(self._index):
            raise IndexError(index)
        return self._trim(self._read(*self._index.span(index)))

    def row(self, index: int) -> Row:
        if not 0 <= index < len(self._index):
            raise IndexError(index)
        start, end = self._index.span(index)
        if end - start > LONGEST_ROW_BYTES:
            return self._broken(index, too_long(end - start))
        return self._decode(index, self._read(start, end), end - start)

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        stop = len(self._index) if stop is None else stop
        while start < stop:
            first, end = self._index.span(start)
            if end - first > LONGEST_ROW_BYTES:
                yield self.row(start)
                start += 1
                continue
            block = self._read(first, max(end, min(first + _READ_BYTES, self._index.end)))
            while start < stop:
                begin, end = self._index.span(start)
                if end - first > len(block) and begin > first:
                    break  # goes beyond the block, and others were in it
                yield self._decode(start, block[begin - first : end - first], end - begin)
                start += 1

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[Block]:
        stop = len(self._index) if stop is None else stop
        while start < stop:
            first, _ = self._index.span(start)
            after = bisect_left(self._index.starts, first + _READ_BYTES, start + 1, stop)
            end = self._index.span(after - 1)[1]
            yield Block(start, self._read(first, end), first, self._index.starts[start:after], end)
            start = after

    def _decode(self, index: int, data: bytes, size: int) -> Row:
        line = self._index.line(index)
        if len(data) < size:
            return self._broken(index, self._gone(size - len(data)))
        data = self._trim(data)
        warnings: tuple[RowProblem, ...] = ()
        if self._columns is not None:
            value, found = self._columns.decode(data)
        elif self.layout in ("paragraphs", "document"):
            value, found = decode_text(data)
        else:
            value, found, warnings = decode_row(data)
        if found:
            return self._broken(index, found)
        return Row(index, line, value, None, tuple(item.at(index + 1, line) for item in warnings))

    def _broken(self, index: int, found: RowProblem) -> Row:
        line = self._index.line(index)
        return Row(index, line, None, found.at(index + 1, line))

    def _gone(self, missing_bytes: int) -> RowProblem:
        if self._file is None:
            return gone("a file that has been replaced, or is gone")
        return gone(f"a file that has become shorter: {missing_bytes:,} bytes of the row are gone")

    def _read(self, start: int, end: int) -> bytes:
        """Bytes of the file; fewer when it has become shorter, none when it is another by now."""
        parts, size = [], end - start
        with self._lock:
            handle = self._handle()
            while handle is not None and size > 0 and (part := os.pread(handle, size, start)):
                parts.append(part)
                start, size = start + len(part), size - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _handle(self) -> int | None:
        """The open file, opened again after a rest if it is still the same."""
        if self._file is None:
            try:
                file = open_file(self._place)
            except AfinaError:
                return None
            if Fingerprint.of(os.fstat(file.fileno())) != self.fingerprint:
                file.close()
                return None
            self._file = file
        return self._file.fileno()

    def _trim(self, data: bytes) -> bytes:
        if self.layout == "lines":
            newline = data.find(b"\n")
            data = data[:newline] if newline >= 0 else data
        return data.strip() if self._columns is None else data.rstrip(b"\r\n")

    def changed(self) -> bool:
        try:
            return Fingerprint.of(self._place.stat()) != self.fingerprint
        except OSError:
            return True

    def place(self, index: int) -> tuple[Path, int]:
        if not 0 <= index < len(self._index):
            raise IndexError(index)
        return self.path, self._index.line(index)

    def content_hash(self) -> str:
        return hash_of(self._place, self._cache)


def hash_of(path: Path, cache: FileCache | None) -> str:
    """SHA-256 of a whole file: what the cache remembers of it, or read now."""
    with open_file(path) as file:
        known = cache.load_hash(path, file) if cache else None
        if known is None:
            known = hashlib.file_digest(file, "sha256").hexdigest()
            if cache:
                cache.store_hash(path, file, known)
    return known


def _refuse_utf16(path: Path, head: bytes) -> None:
    """UTF-16 with its mark, or without it where one of two bytes is always zero."""
    empty = [not any(head[start:64:2]) for start in (0, 1)]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or (len(head) >= 4 and any(empty) != all(empty)):
        raise AfinaError(
            f'"{path}" is UTF-16, not UTF-8.', "Convert it: iconv -f UTF-16 -t UTF-8 OLD > NEW."
        )


def _json_layout(suffix: str, file: FileIO, begin: int) -> str:
    """How JSON lies in a file: lines, array or values (that span lines)."""
    first, *others = [*_first_lines(file, begin, 3), b""]
    if first.startswith(b"["):
        # In .json a list is the list of rows. In .jsonl one line may be a bare list of messages, or
        # broken: an array's elements end in commas, so its lines are not whole one after another.
        broken = len(others) > 2 and all(map(_is_json, others[:2]))
        return "lines" if suffix != ".json" and (_is_json(first) or broken) else "array"
    if suffix == ".json" and first.startswith(b"{") and not _is_json(first):
        return "values"
    return "lines"


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return True


def _first_lines(file: FileIO, begin: int, count: int) -> list[bytes]:
    """The first lines that are not blank, as far as 8 MiB of each."""
    lines: list[bytes] = []
    with open(file.fileno(), "rb", closefd=False) as buffered:
        buffered.seek(begin)
        while len(lines) < count and (line := buffered.readline(8 << 20)):
            if line.strip():
                lines.append(line.strip())
    return lines
