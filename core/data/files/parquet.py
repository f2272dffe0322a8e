"""Rows of Parquet files: a row group is decoded from its begin, as far as a row is wanted."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from io import FileIO
from typing import TYPE_CHECKING

from core.data.files.rows import Cancelled, OnProgress
from core.data.files.tables import TableSource

if TYPE_CHECKING:
    import pyarrow.parquet

BATCH_ROWS = 256  # of a row group that are decoded at a time


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
