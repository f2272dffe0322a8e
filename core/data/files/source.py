"""A data file as rows by number: indexed by offsets, any row read on demand, nothing kept.

Covers JSON lines, JSON arrays, values that span lines, and plain text. What a row means is for
core.data.shapes.
"""

from __future__ import annotations

import hashlib
import os
import stat
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from core.data.files.decode import decode_row, decode_text
from core.data.files.scan import Batch, scan_document, scan_lines, scan_paragraphs, scan_values
from core.data.problems import RowProblem, problem
from core.errors import AfinaError

READABLE = ".jsonl, .ndjson, .json, .txt and .md"
_BOM = b"\xef\xbb\xbf"


class Row(msgspec.Struct, frozen=True):
    """One row of a file; `index` counts from 0, `line` from 1; a value or a problem is set."""

    index: int
    line: int
    value: dict[str, Any] | list[Any] | None
    problem: RowProblem | None = None

    @property
    def number(self) -> int:
        """The row's number as people see it, from 1."""
        return self.index + 1


class Fingerprint(msgspec.Struct, frozen=True):
    """What tells one state of a file from another."""

    size: int
    mtime_ns: int


class Source:
    """Random access to the rows of one file.

    `index()` finds the rows; those already found can be read from another thread while it goes on.
    Raises AfinaError when the path can't be read as data; a broken row is a Row with a problem.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = _open(self.path)
        status = os.fstat(self._file.fileno())
        self.fingerprint = Fingerprint(status.st_size, status.st_mtime_ns)
        head = self._file.read(4096)
        _refuse_utf16(self.path, head)
        self._begin = len(_BOM) if head.startswith(_BOM) else 0
        self.layout = _layout(self.path, self._file, self._begin)
        self._starts, self._lines, self._ends = array("Q"), array("Q"), array("Q")
        self._read = self._begin  # bytes that are indexed
        self.indexed = False

    def __len__(self) -> int:
        """Rows found so far; all of them once `indexed` is true."""
        return len(self._starts)

    def __iter__(self) -> Iterator[Row]:
        return (self.row(index) for index in range(len(self)))

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def index(
        self,
        on_progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Source:
        """Finds all rows, block by block; on_progress receives (bytes behind us, bytes in all)."""
        self._starts, self._lines, self._ends = array("Q"), array("Q"), array("Q")
        self.indexed = False
        with open(self.path, "rb") as file:
            for batch in _scan(self.layout, file, self._begin):
                self._append(batch)
                if on_progress:
                    on_progress(self._read, self.fingerprint.size)
                if cancelled and cancelled():
                    return self
        self.indexed = True
        return self

    def _append(self, batch: Batch) -> None:
        # In this order, so that a reader in another thread finds the end of every row it can see.
        self._read = max(self._read, batch.read)
        self._lines.extend(batch.lines)
        self._ends.extend(batch.ends)
        self._starts.extend(batch.starts)

    def raw(self, index: int) -> bytes:
        """The bytes of a row, without the white space around it; IndexError beyond those found."""
        if not 0 <= index < len(self._starts):
            raise IndexError(index)
        return self._trim(self._bytes(index)[0])

    def row(self, index: int) -> Row:
        """A row, decoded; a row that can't be decoded carries a problem instead of a value."""
        if not 0 <= index < len(self._starts):
            raise IndexError(index)
        data, missing = self._bytes(index)
        line = self._lines[index]
        if missing:
            value, found = None, _cut_off(missing)
        elif self.layout in ("paragraphs", "document"):
            value, found = decode_text(self._trim(data))
        else:
            value, found = decode_row(self._trim(data))
        return Row(index, line, value, found.at(index + 1, line) if found else None)

    def _bytes(self, index: int) -> tuple[bytes, int]:
        """From a row's start to the next row's, and how many of these bytes are no longer there."""
        start = self._starts[index]
        if self._ends:
            end = self._ends[index]
        else:
            end = self._starts[index + 1] if index + 1 < len(self._starts) else self._read
        data = _read_at(self._file, start, end - start)
        return data, end - start - len(data)

    def _trim(self, data: bytes) -> bytes:
        if self.layout == "lines":
            newline = data.find(b"\n")
            data = data[:newline] if newline >= 0 else data
        return data.strip()

    def changed(self) -> bool:
        """Whether the file on disk is no longer the one that was opened, or is gone."""
        try:
            status = self.path.stat()
        except OSError:
            return True
        return Fingerprint(status.st_size, status.st_mtime_ns) != self.fingerprint

    def sha256(self) -> str:
        """The hash of the whole file, read now."""
        with open(self.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def begin_source(path: str | os.PathLike[str]) -> Source:
    """A source whose rows are still to be found with `index()`; raises AfinaError."""
    return Source(path)


def open_source(path: str | os.PathLike[str]) -> Source:
    """A source with all its rows found: what everything but the pane wants."""
    return begin_source(path).index()


def _open(path: Path) -> BinaryIO:
    """The file, opened; one sentence for everything that is not a readable regular file."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise _unreadable(path, error) from error
    if stat.S_ISDIR(mode):
        raise AfinaError(
            f'"{path}" is a folder, not a data file.', f"Name a file in it: {READABLE}."
        )
    if not stat.S_ISREG(mode):
        raise AfinaError(
            f'"{path}" is not a regular file (a pipe, a socket or a device).',
            "Save its content to a file first.",
        )
    suffix = path.suffix.lower()
    if suffix not in _LAYOUTS:
        what = f'"{suffix}" files' if suffix else "a file without an ending"
        raise AfinaError(f'Can\'t read {what} yet: "{path}".', f"Supported are {READABLE}.")
    try:
        return open(path, "rb", buffering=0)  # noqa: SIM115 - lives as long as the source
    except OSError as error:
        raise _unreadable(path, error) from error


def _cut_off(missing_bytes: int) -> RowProblem:
    return problem(
        "file_changed",
        "",
        f"a file that has become shorter: {missing_bytes:,} bytes of the row are gone",
        "the file as it was opened",
        "Open the file again.",
    )


def _unreadable(path: Path, error: OSError) -> AfinaError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return AfinaError(f'There is no file "{path}".', "Check the path.")
    return AfinaError(f'Can\'t read "{path}": {error.strerror}.')


def _refuse_utf16(path: Path, head: bytes) -> None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise AfinaError(
            f'"{path}" is UTF-16, not UTF-8.', "Convert it: iconv -f UTF-16 -t UTF-8 OLD > NEW."
        )


_LAYOUTS = {
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".json": "",
    ".txt": "paragraphs",
    ".md": "document",
}


def _layout(path: Path, file: BinaryIO, begin: int) -> str:
    """How rows lie in the file: lines, array, values (that span lines), paragraphs or document."""
    suffix = path.suffix.lower()
    if suffix in (".txt", ".md"):
        return _LAYOUTS[suffix]
    first = _first_line(file, begin)
    whole_line = decode_row(first)[0] is not None
    if first.startswith(b"["):
        # In .jsonl one line may be a bare list of messages; in .json a list is the list of rows.
        return "lines" if suffix != ".json" and whole_line else "array"
    if suffix == ".json" and first.startswith(b"{") and not whole_line:
        return "values"
    return "lines"


def _first_line(file: BinaryIO, begin: int) -> bytes:
    """The first line that is not blank, at most 64 MiB of it."""
    with open(file.fileno(), "rb", closefd=False) as buffered:
        buffered.seek(begin)
        while line := buffered.readline(64 << 20):
            if line.strip():
                return line.strip()
    return b""


def _scan(layout: str, file: BinaryIO, begin: int) -> Iterator[Batch]:
    if layout in ("array", "values"):
        return scan_values(file, begin, in_array=layout == "array")
    scanners = {"lines": scan_lines, "paragraphs": scan_paragraphs, "document": scan_document}
    return scanners[layout](file, begin)


def _read_at(file: BinaryIO, start: int, size: int) -> bytes:
    """Up to `size` bytes at an offset; fewer when the file has become shorter."""
    parts = []
    while size > 0 and (part := os.pread(file.fileno(), size, start)):
        parts.append(part)
        start, size = start + len(part), size - len(part)
    return b"".join(parts)
