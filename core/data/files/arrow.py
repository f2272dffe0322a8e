"""Rows of Arrow files: record batches of the form with a footer, or of a stream."""

from __future__ import annotations

from collections.abc import Iterator
from io import FileIO
from typing import TYPE_CHECKING

from core.data.files.formats import open_file
from core.data.files.rows import Cancelled, OnProgress
from core.data.files.tables import TableSource, first_sentence
from core.data.problems import RowProblem, problem

if TYPE_CHECKING:
    import pyarrow


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
    found = f"a batch of rows, number {number}, that can't be read: {first_sentence(error)}"
    return problem("damaged_file", "", found, "a whole file", "Write or download it again.")
