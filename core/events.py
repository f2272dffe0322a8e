"""The event file of a job: one JSON object per line, appended and flushed, read again by anyone.

Every event has "v" (version of the format), "seq" (1, 2, ...), "t" (seconds since the epoch) and
"kind". Readers ignore kinds and fields that they do not know. docs/events.md lists the kinds.
"""

from __future__ import annotations

import math
import os
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from core.disk import takes_no_more

VERSION = 1
COUNTS = ("step", "steps")  # fields that are whole numbers in every kind that has them
MOST_WAITING_BYTES = 4 << 20  # of events that a full disk didn't take
Event = dict[str, Any]


def _plain(value: Any) -> Any:
    """The value with NaN and infinities as strings, which is how JSON can carry them."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)  # "nan", "inf", "-inf": float() reads them back
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def number(value: Any) -> float | None:
    """A number out of an event, NaN and infinities included; None when it is absent or damaged."""
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


def encode(record: Event) -> bytes:
    """One line of JSON, without its newline."""
    return msgspec.json.encode(_plain(record))


class EventWriter:
    """Appends events to a file; numbering goes on where an earlier process stopped.

    Several threads may write. A disk that takes no more raises OSError.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "ab+", buffering=0)  # noqa: SIM115 - lives as long as the job
        self._lock = threading.RLock()  # a signal's handler may write inside of a write
        self._seq = _last_seq(path)
        if _ends_in_the_middle(self._file):
            self._append(b"\n")  # a killed writer's half line stays a line of its own

    def write(self, kind: str, **fields: Any) -> int:
        """Appends one event and returns its seq. One write call, so that lines never mix."""
        with self._lock:
            self._seq += 1
            record = {
                "v": VERSION,
                "seq": self._seq,
                "t": round(time.time(), 3),
                "kind": kind,
                **fields,
            }
            self._append(encode(record) + b"\n")
            return self._seq

    def _append(self, data: bytes) -> None:
        while data:
            data = data[self._file.write(data) or 0 :]  # a disk that gets full takes a part

    def close(self) -> None:
        self._file.close()


class PatientWriter(EventWriter):
    """Keeps what a full disk doesn't take, and writes it once there is room, in its order."""

    def __init__(self, path: Path) -> None:
        self._waiting = bytearray()
        super().__init__(path)

    def _append(self, data: bytes) -> None:
        self._waiting += data
        try:
            while self._waiting:
                del self._waiting[: self._file.write(self._waiting) or 0]
        except OSError as error:
            if not takes_no_more(error):
                raise
            self._forget()

    def _forget(self) -> None:
        """Drops the oldest of far too many lines; the first may lie half on the disk already."""
        if len(self._waiting) > MOST_WAITING_BYTES:
            first = self._waiting.find(b"\n") + 1
            cut = self._waiting.find(b"\n", len(self._waiting) - MOST_WAITING_BYTES // 2) + 1
            del self._waiting[first:cut]

    def close(self) -> None:
        self._append(b"")
        super().close()


class EventTail:
    """Reads an event file from where it last stopped. Half lines wait, broken ones are skipped."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self.offset = offset  # bytes that lie behind us

    def read(self) -> list[Event]:
        """The events that were appended since the last call; empty while there is no file."""
        try:
            size = os.stat(self.path).st_size
        except FileNotFoundError:
            return []
        if size < self.offset:  # replaced or cut: read it as a new file
            self.offset = 0
        if size == self.offset:
            return []
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            data = file.read(size - self.offset)
        end = data.rfind(b"\n") + 1
        self.offset += end
        found = (self._decode(line) for line in data[:end].splitlines())
        return [event for event in found if event is not None]

    def _decode(self, line: bytes) -> Event | None:
        """The event of a line; None for garbage: a reader sees nothing that isn't an event."""
        event = _object(line)
        return event if event is not None and _is_event(event) else None


class RowTail(EventTail):
    """Reads a file of JSON objects without kinds in the same way, such as samples.jsonl."""

    def _decode(self, line: bytes) -> Event | None:
        return _object(line)


def read_events(path: Path) -> list[Event]:
    """Every event of a file, oldest first."""
    return EventTail(path).read()


def _object(line: bytes) -> Event | None:
    try:
        event = msgspec.json.decode(line.strip(b"\0"))  # a power cut leaves zeros before a line
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _is_event(event: Event) -> bool:
    """Whether it has a kind, and what every reader counts by is a number where it is there."""
    if not isinstance(event.get("kind"), str):
        return False
    whole = all(isinstance(event.get(name), int | None) for name in COUNTS)
    return whole and isinstance(event.get("t"), int | float | None)


def _last_seq(path: Path) -> int:
    """The highest number in a file; one that damage made is no number of so few bytes."""
    events = EventTail(path)
    numbers = (event.get("seq") for event in events.read())
    size = events.offset
    return max((seq for seq in numbers if isinstance(seq, int) and seq <= size), default=0)


def _ends_in_the_middle(file: Any) -> bool:
    end = file.seek(0, os.SEEK_END)
    if end == 0:
        return False
    file.seek(end - 1)
    return file.read(1) != b"\n"
