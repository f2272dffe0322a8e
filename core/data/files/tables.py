"""Rows of tables that lie in batches, read a batch at a time (parquet, arrow are the two kinds).

pyarrow is loaded when such a file is opened. A row is a plain dict of JSON values (core.data.files.
cells); a batch is kept for the rows beside it.
"""

from __future__ import annotations

import os
import threading
from abc import abstractmethod
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from core.data.files.cache import FileCache
from core.data.files.cells import read_cells
from core.data.files.delimited import name_columns
from core.data.files.formats import open_file
from core.data.files.offsets import hash_of
from core.data.files.rows import Cancelled, Fingerprint, OnProgress, Row, Source, gone
from core.data.problems import ERROR, RowProblem, problem
from core.errors import AfinaError

if TYPE_CHECKING:
    import pyarrow

KEPT_BYTES = 32 << 20  # of batches that were read last; one is kept however large


class TableSource(Source):
    """One file whose rows lie in batches; a subclass says where they begin and reads one."""

    def __init__(self, path: Path, cache: FileCache | None = None) -> None:
        self.path, self._cache = path, cache
        self._lock = threading.Lock()  # a file is read by one at a time
        self._file: FileIO | None = None
        self._kept: OrderedDict[int, pyarrow.RecordBatch] = OrderedDict()
        self._kept_bytes = 0
        self._begin()

    def _begin(self) -> None:
        """Opens the file as it is now and reads what it says about itself."""
        self.close()
        self.indexed = False
        self._starts: list[int] = []  # of the batches
        self._rows = 0
        self._columns: tuple[str, ...] = ()
        self._problems: tuple[RowProblem, ...] = ()
        self.fingerprint = Fingerprint.of(self.path.stat()) if self.path.exists() else None
        import pyarrow

        try:
            with self._lock:
                names = self._open(self._reopen())
        except (OSError, pyarrow.ArrowException, EOFError, MemoryError, UnicodeError) as error:
            self.close()
            kind = {"parquet": "a Parquet file", "arrow": "an Arrow file"}[self.layout]
            raise AfinaError(
                f'"{self.path}" is not {kind}, or is damaged: {first_sentence(error)}.',
                "Write or download it again.",
            ) from error
        self._columns, self._problems = name_columns(names)

    @abstractmethod
    def _open(self, file: FileIO) -> list[str]:
        """Reads the head of an open file; returns the names of its columns."""

    @abstractmethod
    def _find(self, on_progress: OnProgress | None, cancelled: Cancelled | None) -> bool:
        """Finds the batches; whether the end was reached."""

    @abstractmethod
    def _read(self, number: int) -> pyarrow.RecordBatch:
        """One batch of the open file."""

    def _reopen(self) -> FileIO:
        """The open file; raises OSError when it is no longer the one it was."""
        if self._file is None:
            file = open_file(self.path)
            if Fingerprint.of(os.fstat(file.fileno())) != self.fingerprint:
                file.close()
                raise OSError("the file has been replaced")
            self._file = file
        return self._file

    def index(
        self, on_progress: OnProgress | None = None, cancelled: Cancelled | None = None
    ) -> Self:
        """Finds the batches; on_progress receives (bytes behind us, bytes in all)."""
        if self.indexed or self.changed():
            self._begin()
        if not self._find(on_progress, cancelled):
            return self
        self.indexed = True
        return self

    def __len__(self) -> int:
        return self._rows

    def row(self, index: int) -> Row:
        if not 0 <= index < self._rows:
            raise IndexError(index)
        number = bisect_right(self._starts, index) - 1
        batch = self._batch(number)
        if isinstance(batch, RowProblem):
            return self._broken(index, batch)
        return self._decode(index, batch, index - self._starts[number], 1)[0]

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        stop = self._rows if stop is None else stop
        while start < stop:
            number = bisect_right(self._starts, start) - 1
            after = self._starts[number + 1] if number + 1 < len(self._starts) else self._rows
            after = min(after, stop)
            batch = self._batch(number)
            if isinstance(batch, RowProblem):
                yield from (self._broken(index, batch) for index in range(start, after))
            else:
                yield from self._decode(start, batch, start - self._starts[number], after - start)
            start = after

    def raw(self, index: int) -> bytes:
        value = self.row(index).value
        return b"" if value is None else msgspec.json.encode(value)

    def _batch(self, number: int) -> pyarrow.RecordBatch | RowProblem:
        """One batch with its columns under their own names, or why it can't be read."""
        import pyarrow

        with self._lock:
            batch = self._kept.get(number)
            if batch is not None:
                self._kept.move_to_end(number)
                return batch
            try:
                self._reopen()
                return self._keep(number, self._read(number))
            except (OSError, pyarrow.ArrowException, EOFError, MemoryError, AfinaError) as error:
                return self._why(error)

    def _keep(self, number: int, batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
        """Keeps a batch under the columns' own names, instead of those read longest ago."""
        batch = batch.rename_columns(list(self._columns))
        if number not in self._kept:
            self._kept[number] = batch
            self._kept_bytes += batch.get_total_buffer_size()  # nbytes follows offsets
        while len(self._kept) > 1 and self._kept_bytes > KEPT_BYTES:
            self._kept_bytes -= self._kept.popitem(last=False)[1].get_total_buffer_size()
        return batch

    def _why(self, error: Exception) -> RowProblem:
        if self.changed():
            return gone("a file that has been replaced, has become shorter or is gone")
        found = f"a part of the file that can't be read: {first_sentence(error)}"
        return problem("unreadable_row", "", found, "a row", "Write or download the file again.")

    def _decode(self, index: int, batch: pyarrow.RecordBatch, start: int, count: int) -> list[Row]:
        import pyarrow

        try:
            # Offsets beyond a damaged batch's memory would end the process where they are followed.
            batch.slice(start, count).validate(full=True)
        except pyarrow.ArrowException as error:
            if count == 1:
                return [self._broken(index, self._why(error))]
            rows = (self._decode(index + n, batch, start + n, 1) for n in range(count))
            return [row for step in rows for row in step]
        rows = []
        for value, problems in read_cells(batch.slice(start, count)):
            placed = [item.at(index + 1, index + 1) for item in problems]
            errors = [item for item in placed if item.severity == ERROR]
            if errors:
                rows.append(Row(index, index + 1, None, errors[0]))
            else:
                rows.append(Row(index, index + 1, value, None, tuple(placed)))
            index += 1
        return rows

    def _broken(self, index: int, found: RowProblem) -> Row:
        return Row(index, index + 1, None, found.at(index + 1, index + 1))

    @property
    def files(self) -> list[Path]:
        return [self.path]

    @property
    def problems(self) -> list[RowProblem]:
        return list(self._problems)

    def place(self, index: int) -> tuple[Path, int]:
        if not 0 <= index < self._rows:
            raise IndexError(index)
        return self.path, index + 1

    def changed(self) -> bool:
        try:
            return Fingerprint.of(self.path.stat()) != self.fingerprint
        except OSError:
            return True

    def content_hash(self) -> str:
        return hash_of(self.path, self._cache)

    def rest(self) -> None:
        with self._lock:
            self._kept.clear()
            self._kept_bytes = 0
            self._let_go()
            if self._file is not None:
                self._file.close()
            self._file = None

    @abstractmethod
    def _let_go(self) -> None:
        """Drops what reads from the open file."""

    def close(self) -> None:
        self.rest()


def first_sentence(error: Exception) -> str:
    """What pyarrow says, without its details."""
    text = error.message if isinstance(error, AfinaError) else str(error)
    return text.split("\n")[0].split(". ")[0].rstrip(".")[:200]
