"""Rows of Parquet and Arrow files, read by row group and batch, never as a whole.

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
from core.data.files.endings import open_file
from core.data.files.offsets import hash_of
from core.data.files.rows import Cancelled, Fingerprint, OnProgress, Row, Source, gone
from core.data.problems import ERROR, RowProblem, problem
from core.errors import AfinaError

if TYPE_CHECKING:
    import pyarrow.parquet

BATCH_ROWS = 256  # of a row group that are decoded at a time
KEPT_BYTES = 32 << 20  # of batches that were read last; one is kept however large


class TableSource(Source):
    """One file whose rows lie in batches; a subclass says where they begin and reads one."""

    def __init__(self, path: Path, cache: FileCache | None = None) -> None:
        self.path, self._cache = path, cache
        self._lock = threading.Lock()  # a file is read by one at a time
        self._file: FileIO | None = None
        self._begin()

    def _begin(self) -> None:
        """Opens the file as it is now and reads what it says about itself."""
        self.close()
        self.indexed = False
        self._kept: OrderedDict[int, pyarrow.RecordBatch] = OrderedDict()
        self._kept_bytes = 0
        self._starts: list[int] = []  # of the batches
        self._rows = 0
        self._columns: tuple[str, ...] = ()
        self._problems: tuple[RowProblem, ...] = ()
        self.fingerprint = Fingerprint.of(self.path.stat()) if self.path.exists() else None
        import pyarrow

        try:
            with self._lock:
                names = self._open(self._reopen())
        except (OSError, pyarrow.ArrowException, EOFError, MemoryError) as error:
            self.close()
            kind = {"parquet": "a Parquet file", "arrow": "an Arrow file"}[self.layout]
            raise AfinaError(
                f'"{self.path}" is not {kind}, or is damaged: {_first_sentence(error)}.',
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
        found = f"a part of the file that can't be read: {_first_sentence(error)}"
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
        if hasattr(self, "_kept"):
            self.rest()


class ParquetSource(TableSource):
    """Row groups, each decoded from its begin in batches as far as a row is wanted."""

    layout = "parquet"

    def _open(self, file: FileIO) -> list[str]:
        self._reader = self._new_reader(file)
        # (row group, its next batch, the rest of its batches)
        self._cursor: tuple[int, int, Iterator[pyarrow.RecordBatch]] | None = None
        metadata = self._reader.metadata
        self._groups: list[int] = []  # first batch of each row group
        for group in range(metadata.num_row_groups):
            self._groups.append(len(self._starts))
            count = metadata.row_group(group).num_rows
            self._starts += range(self._rows, self._rows + count, BATCH_ROWS)
            self._rows += count
        return self._reader.schema_arrow.names

    def _new_reader(self, file: FileIO) -> pyarrow.parquet.ParquetFile:
        import pyarrow.parquet

        return pyarrow.parquet.ParquetFile(file, memory_map=False, pre_buffer=False)

    def _find(self, on_progress: OnProgress | None, cancelled: Cancelled | None) -> bool:
        return True  # the footer has told everything

    def _read(self, number: int) -> pyarrow.RecordBatch:
        import pyarrow

        group = bisect_right(self._groups, number) - 1
        if self._reader is None:
            self._reader = self._new_reader(self._reopen())
        place, batches = self._groups[group], None
        if self._cursor is not None and self._cursor[0] == group and self._cursor[1] <= number:
            _, place, batches = self._cursor
        self._cursor = None  # a reader that failed is not used again
        if batches is None:
            batches = self._reader.iter_batches(BATCH_ROWS, [group], use_threads=False)
        for batch in batches:
            if place == number:
                if batch.num_rows != self._batch_rows(number):
                    break
                self._cursor = (group, place + 1, batches)
                return batch
            self._keep(place, batch)  # it cost as much to pass over it
            place += 1
        raise pyarrow.ArrowInvalid("a row group holds fewer rows than it says")

    def _batch_rows(self, number: int) -> int:
        """How many rows a batch has to have, so that no row is taken for another."""
        after = self._starts[number + 1] if number + 1 < len(self._starts) else self._rows
        return after - self._starts[number]

    def _let_go(self) -> None:
        self._reader = self._cursor = None


class ArrowSource(TableSource):
    """Record batches of an IPC file (with a footer) or of a stream, whose messages are listed."""

    layout = "arrow"

    def _open(self, file: FileIO) -> list[str]:
        import pyarrow

        self._places: list[int] = []  # of the batches: their number, or the offset in a stream
        self._reader = None
        file.seek(0)
        self._is_stream = file.read(6) != b"ARROW1"
        if self._is_stream:
            file.seek(0)
            message = pyarrow.ipc.read_message(pyarrow.PythonFile(file, "r"))
            self._schema = pyarrow.ipc.read_schema(message)
            self._first = file.tell()
            if any(pyarrow.types.is_dictionary(kind) for kind in self._schema.types):
                raise pyarrow.ArrowInvalid("it is a stream with dictionaries; save it as Parquet")
        else:
            self._schema = self._file_reader().schema
        return self._schema.names

    def _file_reader(self) -> pyarrow.RecordBatchFileReader:
        import pyarrow

        if self._reader is None:
            self._reader = pyarrow.ipc.open_file(pyarrow.PythonFile(self._reopen(), "r"))
        return self._reader

    def _find(self, on_progress: OnProgress | None, cancelled: Cancelled | None) -> bool:
        assert self.fingerprint is not None
        for place, read, rows in self._stream_batches() if self._is_stream else self._batches():
            if rows:
                # The rows last: a reader in another thread finds the batch of every row it can see.
                self._places.append(place)
                self._starts.append(self._rows)
                self._rows += rows
            if on_progress:
                on_progress(min(read, self.fingerprint.size), self.fingerprint.size)
            if cancelled and cancelled():
                return False
        return True

    def _batches(self) -> Iterator[tuple[int, int, int]]:
        """(number, bytes behind us, rows) of the batches of a file."""
        import pyarrow

        with self._lock:
            count = self._file_reader().num_record_batches
        size = self.fingerprint.size if self.fingerprint else 0
        for number in range(count):
            try:
                with self._lock:
                    rows = self._file_reader().get_batch(number).num_rows
            except (OSError, pyarrow.ArrowException, MemoryError) as error:
                self._problems += (_damaged(number + 1, error),)
                rows = 0
            yield number, size * (number + 1) // count, rows

    def _stream_batches(self) -> Iterator[tuple[int, int, int]]:
        """(offset, bytes behind us, rows) of the messages of a stream."""
        import pyarrow

        with open_file(self.path) as file:
            stream, place = pyarrow.PythonFile(file, "r"), self._first
            file.seek(place)
            while True:
                try:
                    message = pyarrow.ipc.read_message(stream)
                except EOFError:  # the mark at the end, or the end without one
                    return
                except (OSError, pyarrow.ArrowException, MemoryError):
                    self._problems += (_broken_off(self._rows),)
                    return
                try:
                    rows = pyarrow.ipc.read_record_batch(message, self._schema).num_rows
                except (OSError, pyarrow.ArrowException, MemoryError) as error:
                    self._problems += (_damaged(len(self._places) + 1, error),)
                    rows = 0
                yield place, file.tell(), rows
                place = file.tell()

    def _read(self, number: int) -> pyarrow.RecordBatch:
        import pyarrow

        place = self._places[number]
        if not self._is_stream:
            return self._file_reader().get_batch(place)
        file = self._reopen()
        file.seek(place)
        message = pyarrow.ipc.read_message(pyarrow.PythonFile(file, "r"))
        return pyarrow.ipc.read_record_batch(message, self._schema)

    def _let_go(self) -> None:
        self._reader = None


def _broken_off(rows: int) -> RowProblem:
    found = f"a stream that breaks off after {rows:,} rows"
    return problem("truncated_file", "", found, "a whole file", "Copy or download it again.")


def _damaged(number: int, error: Exception) -> RowProblem:
    found = f"a batch of rows, number {number}, that can't be read: {_first_sentence(error)}"
    return problem("damaged_file", "", found, "a whole file", "Write or download it again.")


def _first_sentence(error: Exception) -> str:
    """What pyarrow says, without its details."""
    text = error.message if isinstance(error, AfinaError) else str(error)
    return text.split("\n")[0].split(". ")[0].rstrip(".")[:200]
