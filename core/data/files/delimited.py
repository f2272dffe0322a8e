"""Tables of text (CSV, TSV): the header, where rows begin, and a row by the names of the columns.

A newline inside quotes does not end a row. All values are text.
"""

from __future__ import annotations

import csv
import functools
import io
import re
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from core.data.files.decode import bad_encoding
from core.data.files.index import Batch
from core.data.files.rows import LONGEST_ROW_BYTES
from core.data.problems import WARNING, RowProblem, problem
from core.errors import AfinaError

if TYPE_CHECKING:
    from core.data.files.index import Places

BLOCK_BYTES = 1 << 20
FIRST_BLOCK_BYTES = 128 << 10  # small enough for plain Python: the first rows don't wait for numpy
HEAD_BYTES = 1 << 20  # in which the header must end
SMALL_BYTES = 256 << 10  # up to here plain Python; numpy is not loaded for a small file
_DELIMITERS = (",", ";", "\t")  # the first one where none is found
csv.field_size_limit(LONGEST_ROW_BYTES)


class Columns(msgspec.Struct, frozen=True):
    """The header of a table of text."""

    names: tuple[str, ...]
    delimiter: str
    end: int  # offset of the first row
    line: int  # its line
    problems: tuple[RowProblem, ...] = ()

    def decode(self, raw: bytes) -> tuple[dict[str, Any] | None, RowProblem | None]:
        """A row as {column: text}, or the problem with it."""
        try:
            found = _split(raw, self.delimiter)
        except UnicodeDecodeError as error:
            return None, bad_encoding(error)
        if isinstance(found, RowProblem):
            return None, found
        if len(found) != len(self.names):
            return None, problem(
                "wrong_column_count",
                "",
                f"{len(found):,} columns",
                f"{len(self.names):,}, as in the header",
                "Quote values that hold the delimiter or a newline, or drop the row.",
            )
        return dict(zip(self.names, found, strict=True)), None


def read_columns(path: Path, file: FileIO, begin: int, suffix: str) -> Columns:
    """The header of a file, and its delimiter; raises AfinaError for a file without one."""
    file.seek(begin)
    head = file.read(HEAD_BYTES)
    start = begin + len(head) - len(head.lstrip(b"\r\n"))
    text = head[start - begin :]
    delimiter = "\t" if suffix == ".tsv" else _sniff(text)
    end = next(_ends(text, delimiter), -1)
    if end < 0 and len(head) == HEAD_BYTES:
        raise AfinaError(
            f'The header of "{path}" does not end within {HEAD_BYTES:,} bytes.',
            "The first line has to name the columns; look for a quote that is not closed.",
        )
    line = head[: start - begin].count(b"\n") + 1
    raw = text[:end] if end >= 0 else text
    try:
        names = _split(raw.rstrip(b"\r\n"), delimiter)
    except UnicodeDecodeError as error:
        found = bad_encoding(error)
        raise AfinaError(
            f'The header of "{path}" is not UTF-8: {found.found}.', found.fix
        ) from error
    if isinstance(names, RowProblem):
        raise AfinaError(f'Can\'t read the header of "{path}": {names.found}.', names.fix)
    unique, problems = name_columns(names)
    after = start + end + 1 if end >= 0 else start + len(text)
    return Columns(unique, delimiter, after, line + raw.count(b"\n") + 1, problems)


def scan_delimited(file: FileIO, columns: Columns) -> Iterator[Batch]:
    """One row per record; a quote that is never closed spoils the row of its line, not the rest."""
    scanner = _Scanner(columns)
    file.seek(columns.end)
    size = min(BLOCK_BYTES, FIRST_BLOCK_BYTES)
    while block := file.read(size):
        yield scanner.feed(block)
        size = max(BLOCK_BYTES, len(scanner.carry))
    while scanner.carry or scanner.passed:
        yield scanner.finish()


class _Scanner:
    """Splits a stream of blocks into records."""

    def __init__(self, columns: Columns) -> None:
        self.delimiter = columns.delimiter
        self.start, self.line = columns.end, columns.line  # of the carry
        self.carry = b""  # a record without its end
        self.passed = 0  # bytes of a line that is longer than any row, and not carried
        self.end = columns.end  # where the last row ended

    def feed(self, block: bytes) -> Batch:
        """The records that end in a block."""
        batch = Batch()
        if self.passed:
            newline = block.find(b"\n")
            size = newline + 1 if newline >= 0 else len(block)
            self.passed += size
            if newline >= 0:
                self._end_line(batch)
            block = block[size:]
        data = self.carry + block
        records = _regular_records(data, self.delimiter) if len(data) > SMALL_BYTES else None
        if records is not None and len(records.ends):
            return self._take_many(data, records, batch)
        ends = list(_ends(data, self.delimiter))
        if not len(ends) and len(data) > LONGEST_ROW_BYTES:
            ends = self._give_up(data)
            self.passed = 0 if ends else len(data)
            data = data if ends else b""
        return self._take(data, ends, len(data), batch)

    def finish(self) -> Batch:
        """What is left at the end of the file: a record without a newline, or an open quote."""
        if self.passed:
            batch = Batch()
            self._end_line(batch)
            return self._take(b"", [], 0, batch)
        data = self.carry if self.carry.endswith(b"\n") else self.carry + b"\n"
        ends = list(_ends(data, self.delimiter)) or self._give_up(data)
        return self._take(data, ends, len(self.carry), Batch())

    def _end_line(self, batch: Batch) -> None:
        """Takes a line that was passed over as one row: it is too long to be read as such."""
        batch.add(self.start, self.line, self.end)
        self.start += self.passed
        self.end, self.passed, self.line = self.start, 0, self.line + 1

    def _take_many(self, data: bytes, records: Records, batch: Batch) -> Batch:
        """The same as `_take`, for the many records of a large block."""
        import numpy

        starts, ends, lines = records
        there = ends > starts
        octets = numpy.frombuffer(data, numpy.uint8)
        for place in numpy.flatnonzero(there & (octets[starts] <= ord(" "))):
            there[place] = bool(data[starts[place] : ends[place]].strip(b" \r\n"))
        if there.any():
            befores = numpy.concatenate([[self.end], ends[there][:-1] + 1 + self.start])
            batch.add_many(starts[there] + self.start, lines[there] + self.line, befores)
            self.end = self.start + int(ends[there][-1]) + 1
        begin = int(ends[-1]) + 1
        self.line += data.count(b"\n", 0, begin)
        self.carry = data[begin:]
        self.start += begin
        batch.read, batch.end = self.start, self.end
        return batch

    def _give_up(self, data: bytes) -> list[int]:
        newline = data.find(b"\n")
        return [newline] if newline >= 0 else []

    def _take(self, data: bytes, ends: list[int], size: int, batch: Batch) -> Batch:
        """Adds the records with these ends; `size` leaves out a newline that was added."""
        begin = 0
        for end in ends:
            record = data[begin : end + 1]
            if record.strip(b" \r\n"):
                batch.add(self.start + begin, self.line, self.end)
                self.end = self.start + min(end + 1, size)
            self.line += record.count(b"\n")
            begin = end + 1
        self.carry = data[begin:size]
        self.start += begin
        batch.read, batch.end = self.start, self.end
        return batch


class Records(NamedTuple):
    """Records in a block, as places in it."""

    starts: Places
    ends: Places  # of their last newlines
    lines: Places  # newlines before each


def _regular_records(data: bytes, delimiter: str) -> Records | None:
    """The records by the parity of the quotes before their newlines.

    None where a quote stands in the middle of a field, for which parity says nothing.
    """
    import numpy

    octets = numpy.frombuffer(data, numpy.uint8)
    newlines = numpy.flatnonzero(octets == ord("\n"))
    quotes = numpy.flatnonzero(octets == ord('"'))
    ends = newlines
    if len(quotes):
        before = octets[numpy.maximum(quotes[::2] - 1, 0)]
        opens = (before == ord(delimiter)) | (before == ord("\n")) | (before == ord('"'))
        if not (opens | (quotes[::2] == 0)).all():
            return None
        ends = newlines[numpy.searchsorted(quotes, newlines) % 2 == 0]
    starts = numpy.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    return Records(starts, ends, numpy.searchsorted(newlines, starts))


def _ends(data: bytes, delimiter: str) -> Iterator[int]:
    """The newlines that end records, by the rules of Python's csv module."""
    record = _record(delimiter)
    begin = 0
    while match := record.match(data, begin):
        begin = match.end()
        yield begin - 1


@functools.cache
def _record(delimiter: str) -> re.Pattern[bytes]:
    """A record with its newline: a quote opens only where a field begins, and must be closed."""
    between = re.escape(delimiter.encode())
    plain = rb"[^" + between + rb"\n]*+"
    field = rb'(?:"[^"]*+(?:""[^"]*+)*+"' + plain + rb'|(?!")' + plain + rb")"
    return re.compile(field + rb"(?:" + between + field + rb")*+\n")


def _split(raw: bytes, delimiter: str) -> list[str] | RowProblem:
    """The values of one record; raises UnicodeDecodeError."""
    text = raw.decode("utf-8")
    if b'"' in raw and not _record(delimiter).fullmatch(raw + b"\n"):
        found, wanted = "a quote that is not closed", "quotes in pairs"
        return problem("invalid_csv", "", found, wanted, "Close the quote, or drop the row.")
    return next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])


def _sniff(text: bytes) -> str:
    """The delimiter of a .csv: the one that parts the first line most often."""
    first = text.split(b"\n", 1)[0]
    outside = re.sub(rb'"[^"]*"', b"", first)
    return max(_DELIMITERS, key=lambda delimiter: outside.count(delimiter.encode()))


def name_columns(names: list[str]) -> tuple[tuple[str, ...], tuple[RowProblem, ...]]:
    """Every column under a name of its own, and what is odd about the names."""
    unique: list[str] = []
    problems: list[RowProblem] = []
    for number, name in enumerate(names, start=1):
        if not name.strip():
            unique.append(_free(f"column {number}", names))
            found, check = f"no name for column {number}", "empty_column_name"
        elif name in unique:
            unique.append(_free(f"{name} {number}", names))
            found, check = f'"{name}" again for column {number}', "duplicate_column_name"
        else:
            unique.append(name)
            continue
        wanted = "a name of its own for each column"
        fix = f'It is read as "{unique[-1]}"; name it in the header.'
        problems.append(problem(check, unique[-1], found, wanted, fix, WARNING))
    return tuple(unique), tuple(problems)


def _free(name: str, taken: list[str]) -> str:
    while name in taken:
        name += "_"
    return name
