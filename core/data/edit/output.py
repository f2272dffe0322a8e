"""A new file of rows: written beside its name, complete or not there at all, never over a source.

JSON lines, one row each; compressed where the name ends in .gz.
"""

from __future__ import annotations

import errno
import gzip
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from core.data.files.source import Row
from core.errors import AfinaError
from core.paths import make_folder, sync_folder

SUFFIXES = (".jsonl", ".ndjson")
_MARGIN = 64 << 20  # bytes that are left free on the disk
_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")  # byte order marks


class Output:
    """One new file: `add` its rows, `finish` it, `publish` it, all in a `with` block.

    What is not published when the block ends leaves nothing behind.
    """

    def __init__(
        self, path: Path, sources: Iterable[Path] = (), overwrite: bool = False, size: int = 0
    ) -> None:
        """Opens `path` for writing; `size` is about how many bytes it will take, for the disk.

        Raises AfinaError for a name that is no JSON lines file, a file that is there, a source and
        a disk that is too small.
        """
        self.path = Path(path).expanduser()
        _refuse(self.path, list(sources), overwrite)
        make_folder(self.path.parent)
        free = shutil.disk_usage(self.path.parent).free
        if size + _MARGIN > free:
            raise AfinaError(
                f'"{self.path}" may take {size / 1e6:,.0f} MB, and the disk has '
                f"{free / 1e6:,.0f} MB free.",
                "Free some space, or write to another disk.",
            )
        self.rows = 0
        self._part = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            self._disk = open(self._part, "wb")  # noqa: SIM115 - closed by close or discard
        except OSError as error:
            raise _failed(self.path, error) from error
        packed = self.path.suffix.lower() == ".gz"
        # No name and no time in the head: the same rows give the same bytes.
        self._file: BinaryIO | gzip.GzipFile = (
            gzip.GzipFile("", "wb", 6, self._disk, mtime=0) if packed else self._disk
        )

    def add(self, line: bytes) -> None:
        """Writes one row; `line` has no newline in it."""
        try:
            if not self.rows and (line.startswith(_MARKS) or b"\0" in line[:64]):
                self._file.write(b"\n\n")  # a broken first row must not pass for UTF-16
            self._file.write(line)
            self._file.write(b"\n")
        except OSError as error:
            raise _failed(self.path, error) from error
        self.rows += 1

    def finish(self) -> None:
        """Everything is on the disk, still under another name; see `publish`."""
        try:
            if self._file is not self._disk:
                self._file.close()
            self._disk.flush()
            os.fsync(self._disk.fileno())
            self._disk.close()
        except OSError as error:
            raise _failed(self.path, error) from error

    def rename(self) -> None:
        """Gives the finished file its name."""
        try:
            os.replace(self._part, self.path)
        except OSError as error:
            raise _failed(self.path, error) from error
        sync_folder(self.path.parent)

    def discard(self) -> None:
        """Leaves nothing behind of a file that was not published."""
        try:
            self._disk.close()
        except OSError:
            pass  # a full disk says so once more on closing
        finally:
            self._part.unlink(missing_ok=True)

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *exc: object) -> None:
        self.discard()


def publish(*outputs: Output) -> None:
    """Gives finished files their names: all of them, or none where one can't have its own.

    A file that was there and was to be replaced stays replaced in both cases.
    """
    named: list[Path] = []
    try:
        for output in outputs:
            new = not output.path.exists()
            output.rename()
            if new:
                named.append(output.path)
    except AfinaError:
        for path in named:
            path.unlink(missing_ok=True)
        raise


def line_of(row: Row, raw: bytes) -> bytes:
    """A row of a source as one line: its own bytes, unless they span lines or are no JSON.

    Empty for a row of a table that has nothing in it to be kept.
    """
    if not raw.strip():
        return b""
    value = row.value
    if isinstance(value, dict) and len(value) == 1 and "text" in value:
        text = value["text"]
        if isinstance(text, str) and raw == text.encode("utf-8", "surrogatepass"):
            return line_from(value)  # a piece of a plain text file
    if b"\n" not in raw:
        return raw
    try:
        return msgspec.json.format(raw, indent=-1)  # takes white space out, reads no numbers
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return b" ".join(raw.split())  # a row that is broken stays a broken row


def line_from(value: Any) -> bytes:
    """A value as one line of JSON, readable in every language."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        return text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair has no UTF-8
        return json.dumps(value).encode()


def _refuse(path: Path, sources: list[Path], overwrite: bool) -> None:
    name = path.name.lower().removesuffix(".gz")
    if not name.endswith(SUFFIXES):
        raise AfinaError(
            f'Rows are written as JSON lines, and "{path.name}" is no name for that.',
            "End it in .jsonl or .jsonl.gz.",
        )
    if path.is_dir():
        raise AfinaError(f'"{path}" is a folder.', "Name a file in it.")
    if not path.exists():
        return
    for source in sources:
        if source.exists() and path.samefile(source):
            raise AfinaError(
                f'"{path}" is the file that is read; it is never written over.', "Take a new name."
            )
    if not overwrite:
        raise AfinaError(f'There is already a file "{path}".', "Take a new name, or --overwrite.")
    if not path.is_file():
        raise AfinaError(f'"{path}" is not a regular file.', "Take a new name.")


def _failed(path: Path, error: OSError) -> AfinaError:
    hint = "Free some space, or write to another disk." if error.errno == errno.ENOSPC else ""
    return AfinaError(f'Can\'t write "{path}": {error.strerror}. Nothing was kept.', hint)
