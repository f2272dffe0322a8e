"""Where the lines of a large text file begin, found without holding up other threads.

numpy looks for the newlines: it lets go of the interpreter while it does, so that an app whose
thread indexes a file goes on drawing. It is loaded with the second block, never for a small file.
Files are read in blocks, not mapped: a mapped file that shrinks kills its reader (SIGBUS).
"""

from __future__ import annotations

from collections.abc import Iterator
from io import FileIO
from typing import TYPE_CHECKING, Any

from core.data.files.index import Batch

if TYPE_CHECKING:
    import numpy

FIRST_BLOCK_BYTES = 256 << 10  # found in plain Python: the first rows are there at once
BLOCK_BYTES = 1 << 20  # fits a core's cache; 2.8 GB/s, where blocks of 4 MiB make 2.4
_SPACE = b" \t\r\n\x0b\x0c"


def scan_lines(file: FileIO, start: int) -> Iterator[Batch]:
    """One row per line, the last one without its newline too; blank lines are not rows."""
    lines = _Lines(start)
    file.seek(start)
    block = file.read(FIRST_BLOCK_BYTES)
    if block:
        yield lines.feed(block)
    buffer = bytearray(BLOCK_BYTES if block else 0)
    view = memoryview(buffer)
    while size := file.readinto(view):
        yield lines.feed_large(view[:size])
    yield lines.finish()


class _Lines:
    """Splits a stream of blocks into lines."""

    def __init__(self, start: int) -> None:
        self.read = start  # offset of the next block
        self.row, self.line = start, 1  # the line that is being read: its offset, its number
        self.blank = True  # nothing but white space in it so far
        self.end = start  # where the last row ended

    def feed(self, block: bytes) -> Batch:
        """The lines that end in a small block."""
        batch, begin = Batch(), 0
        while (end := block.find(b"\n", begin)) >= 0:
            if not self.blank or block[begin] not in _SPACE or block[begin:end].strip():
                batch.add(self.row, self.line, self.end)
                self.end = self.read + end + 1
            begin = end + 1
            self._next(self.read + begin)
        self.blank = self.blank and not block[begin:].strip()
        return self._close(batch, len(block))

    def feed_large(self, block: memoryview) -> Batch:
        """The same for a large block."""
        import numpy

        data = numpy.frombuffer(block, numpy.uint8)
        newlines = numpy.flatnonzero(data == ord("\n"))
        batch = Batch()
        if not len(newlines):
            self.blank = self.blank and not bytes(block).strip()
            return self._close(batch, len(block))
        starts = numpy.empty(len(newlines), numpy.int64)  # relative to the block
        starts[0] = self.row - self.read
        starts[1:] = newlines[:-1] + 1
        rows = numpy.ones(len(newlines), bool)
        rows[0] = not self.blank or bool(bytes(block[: newlines[0]]).strip())
        rows[1:] = newlines[1:] > starts[1:]
        for place in _suspects(data, starts, rows):
            rows[place] = bool(bytes(block[starts[place] : newlines[place]]).strip())
        self._add(batch, rows, starts, newlines)
        begin = int(newlines[-1]) + 1
        self.line += len(newlines)
        self.row = self.read + begin
        self.blank = not bytes(block[begin:]).strip()
        return self._close(batch, len(block))

    def finish(self) -> Batch:
        """The last line, if it has no newline."""
        batch = Batch()
        if not self.blank:
            batch.add(self.row, self.line, self.end)
            self.end = self.read
        return self._close(batch, 0)

    def _add(
        self,
        batch: Batch,
        rows: numpy.ndarray[Any, Any],
        starts: numpy.ndarray[Any, Any],
        newlines: numpy.ndarray[Any, Any],
    ) -> None:
        """Adds the lines that are rows; `rows` is true for them."""
        import numpy

        kept = numpy.flatnonzero(rows)
        if not len(kept):
            return
        ends = newlines[kept] + 1 + self.read
        befores = numpy.concatenate([[self.end], ends[:-1]])
        batch.add_many(starts[kept] + self.read, kept + self.line, befores)
        self.end = int(ends[-1])

    def _next(self, row: int) -> None:
        self.row, self.line, self.blank = row, self.line + 1, True

    def _close(self, batch: Batch, size: int) -> Batch:
        self.read += size
        batch.read, batch.end = self.read, self.end
        return batch


def _suspects(
    data: numpy.ndarray[Any, Any], starts: numpy.ndarray[Any, Any], rows: numpy.ndarray[Any, Any]
) -> numpy.ndarray[Any, Any]:
    """The lines of a block, but for its first, that begin with white space and are not empty."""
    import numpy

    return numpy.flatnonzero((data[starts[1:]] <= ord(" ")) & rows[1:]) + 1
