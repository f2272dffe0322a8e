"""The event file of a job: one JSON object per line, appended and flushed, read again by anyone.

Every event has "v" (version of the format), "seq" (1, 2, ...), "t" (seconds since the epoch) and
"kind". Readers ignore kinds and fields that they do not know. docs/events.md lists the kinds.
"""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

import msgspec

VERSION = 1
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
    """A number out of an event, NaN and infinities included; None when it is absent."""
    return None if value is None else float(value)


def encode(record: Event) -> bytes:
    """One line of JSON, without its newline."""
    return msgspec.json.encode(_plain(record))


class EventWriter:
    """Appends events to a file; numbering goes on where an earlier process stopped."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "ab+", buffering=0)  # noqa: SIM115 - lives as long as the job
        self._seq = _last_seq(path)
        if _ends_in_the_middle(self._file):
            self._file.write(b"\n")  # a killed writer's half line stays a line of its own

    def write(self, kind: str, **fields: Any) -> int:
        """Appends one event and returns its seq. One write call, so that lines never mix."""
        self._seq += 1
        record = {
            "v": VERSION,
            "seq": self._seq,
            "t": round(time.time(), 3),
            "kind": kind,
            **fields,
        }
        self._file.write(encode(record) + b"\n")
        return self._seq

    def close(self) -> None:
        self._file.close()


class EventTail:
    """Reads an event file from where it last stopped. Half lines wait, broken ones are skipped."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self._offset = offset  # bytes that lie behind us

    def read(self) -> list[Event]:
        """The events that were appended since the last call; empty while there is no file."""
        try:
            size = os.stat(self.path).st_size
        except FileNotFoundError:
            return []
        if size < self._offset:  # replaced or cut: read it as a new file
            self._offset = 0
        if size == self._offset:
            return []
        with open(self.path, "rb") as file:
            file.seek(self._offset)
            data = file.read(size - self._offset)
        end = data.rfind(b"\n") + 1
        self._offset += end
        return [event for line in data[:end].splitlines() if (event := _decode(line)) is not None]


def read_events(path: Path) -> list[Event]:
    """Every event of a file, oldest first."""
    return EventTail(path).read()


def _decode(line: bytes) -> Event | None:
    try:
        event = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return event if isinstance(event, dict) else None


def _last_seq(path: Path) -> int:
    return max((int(event.get("seq", 0)) for event in read_events(path)), default=0)


def _ends_in_the_middle(file: Any) -> bool:
    end = file.seek(0, os.SEEK_END)
    if end == 0:
        return False
    file.seek(end - 1)
    return file.read(1) != b"\n"
