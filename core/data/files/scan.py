"""Where rows begin in JSON that spans lines and in plain text: offsets and lines, never the rows.

Files are read in blocks, not mapped: a mapped file that shrinks kills its reader (SIGBUS).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import FileIO

from core.data.files.elements import find_elements
from core.data.files.index import Batch
from core.data.files.lines import scan_lines

BLOCK_BYTES = 4 << 20
FIRST_BLOCK_BYTES = 128 << 10  # less than is leapt over: the first rows don't wait for numpy
LEAST_LEAP_BYTES = 256 << 10  # less is looked at token by token, without numpy
MOST_CARRY_BYTES = 16 << 20  # of an element that is looked at again with the next block
# A whole string, a bracket, a comma, or the quote of a string that does not end in this block.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TOKEN = re.compile(_STRING + rb'|[\[\]{},"]', re.DOTALL)
_STRING_END = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NESTING = 6  # levels of brackets that are taken in one match, at the speed of the regex engine


def _whole_value() -> re.Pattern[bytes]:
    """A bracketed value with at most _NESTING levels, from its first bracket to its last."""
    inner = rb'[^"\[\]{}]++|' + _STRING
    value = rb"[\[{](?:" + inner + rb")*+[\]}]"
    for _ in range(_NESTING - 1):
        value = rb"[\[{](?:" + inner + rb"|" + value + rb")*+[\]}]"
    return re.compile(value, re.DOTALL)


_VALUE = _whole_value()


def _blocks(file: FileIO, start: int) -> Iterator[tuple[int, bytes]]:
    """(offset, block) pairs up to the end of the file."""
    file.seek(start)
    size = min(BLOCK_BYTES, FIRST_BLOCK_BYTES)
    while block := file.read(size):
        yield start, block
        start, size = start + len(block), BLOCK_BYTES


def scan_paragraphs(file: FileIO, start: int) -> Iterator[Batch]:
    """One row per run of lines without a blank line between them."""
    expected, end = -1, 0  # the line after the last one that was seen, the end of that one
    open_row: tuple[int, int, int] | None = None  # of the paragraph that is being read
    for lines in scan_lines(file, start):
        batch = Batch(lines.read)
        for place, line, before in zip(
            lines.step_rows, lines.step_lines, lines.step_ends, strict=True
        ):
            if not place and line == expected:
                continue
            if open_row:
                batch.add(*open_row)
                batch.end = before
            open_row = (lines.starts[place], line, before)
        if lines.starts:
            expected, end = lines.next_line, lines.end
        yield batch
    if open_row:
        last = Batch(end, end)
        last.add(*open_row)
        yield last


def scan_document(file: FileIO, start: int) -> Iterator[Batch]:
    """The whole file as one row; none when it holds only white space."""
    blank, read = True, start
    for offset, block in _blocks(file, start):
        blank = blank and not block.strip()
        read = offset + len(block)
    batch = Batch(read, read)
    if not blank:
        batch.add(start, 1)
    yield batch


def scan_values(file: FileIO, start: int, in_array: bool) -> Iterator[Batch]:
    """One row per element of a top-level array, or per value in a file of values that span lines.

    Brackets are counted outside of strings. What is broken stays a row (its text is not JSON then),
    and so does what stands behind the array's end: nothing in the file is passed over.
    """
    scanner = _ValueScanner(start, in_array)
    for offset, block in _blocks(file, start):
        yield scanner.feed(offset, block)
    yield scanner.finish()


class _ValueScanner:
    """Splits a stream of blocks at depth 1 of an array, or at depth 0 of a sequence of values."""

    def __init__(self, start: int, in_array: bool) -> None:
        self.floor = 1 if in_array else 0  # the depth at which values stand
        self.depth = 0
        self.closed = False  # the array has ended
        self.region, self.region_line = start, 1  # where the current value's text begins
        self.touched = False  # a token of the current value was seen
        self.in_string = False  # its quote was seen, and no other
        self.carry = b""
        self.line, self.counted = 1, start  # newlines before `counted` are in `line`
        self.batch = Batch()

    def feed(self, offset: int, block: bytes) -> Batch:
        self.batch = Batch()
        data, base = self.carry + block, offset - len(self.carry)
        self._look(data, base, leap=True)
        self.end_of_data = self.batch.read = base + len(data)
        return self.batch

    def finish(self) -> Batch:
        self.batch = Batch()
        self._look(self.carry, self.end_of_data - len(self.carry), leap=False)
        if self.touched or self.carry.strip():
            self._emit(self.end_of_data)
        whole = self.depth == self.floor and not self.in_string
        if self.floor == 1 and whole and not self.closed:
            self.region = self.end_of_data  # the end that an array lacks is a broken row, too
            self._emit(self.end_of_data)
        return self.batch

    def _look(self, data: bytes, base: int, leap: bool) -> None:
        """Goes through the data token by token, or by leaps over whole elements of an array."""
        keep = len(data)
        position = self._end_string(data)
        while position >= 0:
            if leap and self._is_between() and len(data) - position >= LEAST_LEAP_BYTES:
                leap, position = False, self._leap(data, base)
                if position < 0:
                    return
            match = _TOKEN.search(data, position)
            if not match:
                break
            index, end = match.span()
            position = end
            token = data[index : index + 1]
            if token == b'"' and end == index + 1:
                self._touch(data, base, index)
                self.in_string = True  # it goes on in the next block
                break
            if self.depth == self.floor and token in b"[{" and not self.closed:
                whole = _VALUE.match(data, index)
                if whole:
                    position = whole.end()
                    self._take_whole(data, base, index, position)
                    continue
            self._take(token, data, base, index, end)
        if self.in_string:
            keep -= _ends_in_escape(data)
        elif not self.touched:
            keep = min(keep, max(0, self.region - base))
        self._count(data, base, keep)
        self.carry = data[keep:]

    def _end_string(self, data: bytes) -> int:
        """Where an open string ends, 0 if none is open, -1 if it goes on behind the data."""
        if not self.in_string:
            return 0
        match = _STRING_END.match(data)
        self.in_string = match is None
        return match.end() if match else -1

    def _is_between(self) -> bool:
        """Whether what comes next is an element of the array, from its begin."""
        return self.floor == 1 == self.depth and not self.closed and not self.touched

    def _leap(self, data: bytes, base: int) -> int:
        """Takes the elements that end in the data; where to go on, or -1 to wait for more data."""
        import numpy

        begin = self.region - base
        found = find_elements(data, begin)
        if found is None:
            return begin
        if len(found.ends):
            self._count(data, base, begin)
            there = numpy.ones(len(found.ends), bool)
            for place in found.bare:
                there[place] = bool(data[found.starts[place] : found.ends[place]].strip())
            starts, lines = found.starts[there] + base, found.lines[there] + self.line
            if len(starts):
                self.batch.add_many(starts, lines, starts)
                self.batch.ends.frombytes((found.ends[there] + base).tobytes())
            self._begin(data, base, int(found.ends[-1]) + 1)
        begin = self.region - base
        if found.ended or len(data) - begin > MOST_CARRY_BYTES:
            return begin
        self._count(data, base, begin)
        self.carry = data[begin:]
        return -1

    def _take_whole(self, data: bytes, base: int, index: int, end: int) -> None:
        """A whole bracketed value at the depth at which values stand."""
        self._touch(data, base, index)
        if self.floor == 0:
            self._emit(base + end)
            self._begin(data, base, end)

    def _touch(self, data: bytes, base: int, index: int) -> None:
        """Notes the first token of a value: its line is the value's line."""
        if not self.touched:
            self._count(data, base, index)
            self.region_line, self.touched = self.line, True

    def _take(self, token: bytes, data: bytes, base: int, index: int, end: int) -> None:
        at_floor = self.depth == self.floor and not self.closed
        if token in b"[{":
            opens_array = self.floor == 1 and self.depth == 0 and not self.closed
            self.depth += 1
            if opens_array and token == b"[" and not self.touched:
                self._begin(data, base, end)
                return
        elif token in b"]}" and self.depth and (token == b"]" or not (at_floor and self.floor)):
            self.depth -= 1
            if at_floor and self.floor == 1:
                self._separate(data, base, index, end)
                self.closed = True
                return
        elif token == b"," and at_floor and self.floor == 1:
            self._separate(data, base, index, end)
            return
        self._touch(data, base, index)
        if token in b"]}" and self.floor == 0 and self.depth == 0:
            self._emit(base + end)
            self._begin(data, base, end)

    def _separate(self, data: bytes, base: int, index: int, end: int) -> None:
        if self.touched or data[max(0, self.region - base) : index].strip():
            self._emit(base + index)
        self._begin(data, base, end)

    def _begin(self, data: bytes, base: int, end: int) -> None:
        self._count(data, base, end)
        self.region, self.region_line, self.touched = base + end, self.line, False

    def _emit(self, end: int) -> None:
        self.batch.add(self.region, self.region_line)
        self.batch.ends.append(end)

    def _count(self, data: bytes, base: int, upto: int) -> None:
        """Counts the newlines up to an index of the data."""
        if base + upto > self.counted:
            self.line += data.count(b"\n", self.counted - base, upto)
            self.counted = base + upto


def _ends_in_escape(data: bytes) -> bool:
    """Whether the data end in a backslash that is itself not escaped."""
    return (len(data) - len(data.rstrip(b"\\"))) % 2 == 1
