"""The event file: appended, read while it grows, and read again after a crash."""

from __future__ import annotations

import errno
import json
import math
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from core import events
from core.events import EventTail, EventWriter, PatientWriter, encode, number, read_events


def test_events_are_numbered_and_read_back(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "events.jsonl")
    assert writer.write("step", step=1, loss=2.5) == 1
    assert writer.write("step", step=2, loss=2.0) == 2
    events = read_events(tmp_path / "events.jsonl")
    assert [(event["v"], event["seq"], event["kind"]) for event in events] == [
        (1, 1, "step"),
        (1, 2, "step"),
    ]
    assert all(event["t"] > 1e9 for event in events)


def test_numbering_goes_on_in_the_next_process(tmp_path: Path) -> None:
    EventWriter(tmp_path / "events.jsonl").write("state", state="stopped")
    assert EventWriter(tmp_path / "events.jsonl").write("state", state="running") == 2


def test_numbers_that_json_can_not_carry_come_back(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "events.jsonl")
    writer.write("step", loss=math.nan, grad_norm=math.inf, parts=[-math.inf, 1.0])
    (event,) = read_events(tmp_path / "events.jsonl")
    assert event["loss"] == "nan"
    assert math.isnan(number(event["loss"]) or 0)
    assert number(event["grad_norm"]) == math.inf
    assert event["parts"] == ["-inf", 1.0]
    assert json.loads(encode({"a": {"b": math.nan}})) == {"a": {"b": "nan"}}


def test_a_tail_reads_only_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    tail = EventTail(path)
    assert tail.read() == []
    writer = EventWriter(path)
    writer.write("a")
    assert [event["kind"] for event in tail.read()] == ["a"]
    assert tail.read() == []
    writer.write("b")
    assert [event["kind"] for event in tail.read()] == ["b"]


def test_half_a_line_waits_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"kind":"a"}\n{"ki')
    tail = EventTail(path)
    assert [event["kind"] for event in tail.read()] == ["a"]
    with open(path, "ab") as file:
        file.write(b'nd":"b"}\n')
    assert [event["kind"] for event in tail.read()] == ["b"]


def test_the_half_line_of_a_killed_writer_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"seq":1,"kind":"a"}\n{"seq":2,"kind":"st')
    EventWriter(path).write("b")
    assert [(event["seq"], event["kind"]) for event in read_events(path)] == [(1, "a"), (2, "b")]


def test_broken_lines_and_lines_that_are_no_objects_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'\xff\xfe\n[1]\n{"kind":"a"}\n\n7\n')
    assert [event["kind"] for event in read_events(path)] == ["a"]


def test_a_file_that_was_replaced_by_a_shorter_one_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"kind":"a"}\n{"kind":"b"}\n')
    tail = EventTail(path)
    tail.read()
    path.write_bytes(b'{"kind":"c"}\n')
    assert [event["kind"] for event in tail.read()] == ["c"]


def test_a_tail_can_begin_behind_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    EventWriter(path).write("a")
    tail = EventTail(path, path.stat().st_size)
    EventWriter(path).write("b")
    assert [event["kind"] for event in tail.read()] == ["b"]


def _write_many(path: Path, name: str) -> None:
    writer = EventWriter(path)
    for index in range(200):
        writer.write(name, index=index, filler="x" * 500)


def test_lines_of_several_processes_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "control.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_many, args=(path, name)) for name in ("a", "b", "c")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(path.read_bytes().splitlines()) == 600
    for name in ("a", "b", "c"):
        indexes = [event["index"] for event in read_events(path) if event["kind"] == name]
        assert indexes == list(range(200))


class FullDisk:
    """A file on a disk that is full for a while, and takes a part of a line before it is."""

    def __init__(self, file: Any) -> None:
        self.file, self.full = file, False

    def write(self, data: bytes) -> int:
        if not self.full:
            return self.file.write(data[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self) -> None:
        self.file.close()


def test_a_full_disk_holds_events_back_and_loses_none(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    writer = PatientWriter(path)
    disk = FullDisk(writer._file)
    writer._file = disk  # type: ignore[assignment]
    writer.write("a")
    disk.full = True
    writer.write("b", text="x" * 100)
    writer.write("c")
    assert [event["kind"] for event in read_events(path)] == ["a"]
    disk.full = False
    writer.close()
    assert [(event["kind"], event["seq"]) for event in read_events(path)] == [
        ("a", 1),
        ("b", 2),
        ("c", 3),
    ]


def test_of_far_too_many_events_that_wait_the_newest_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_WAITING_BYTES", 2000)
    writer = PatientWriter(tmp_path / "events.jsonl")
    disk = FullDisk(writer._file)
    writer._file = disk  # type: ignore[assignment]
    disk.full = True
    for _ in range(200):
        writer.write("step")
    disk.full = False
    writer.write("last")
    found = read_events(tmp_path / "events.jsonl")
    assert found[-1]["seq"] == 201
    assert 5 < len(found) < 60


def test_other_errors_of_writing_are_no_matter_of_patience(tmp_path: Path) -> None:
    writer = PatientWriter(tmp_path / "events.jsonl")
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.write("a")


def test_a_request_that_can_not_be_written_is_not_held_back(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "control.jsonl")
    disk = FullDisk(writer._file)
    writer._file = disk  # type: ignore[assignment]
    disk.full = True
    with pytest.raises(OSError, match="No space left"):
        writer.write("stop")


def test_numbering_passes_by_what_damage_made_of_a_number(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    EventWriter(path).write("a")
    with open(path, "ab") as file:
        file.write(b'{"seq":99999999999,"kind":"b"}\n{"seq":"nine","kind":"c"}\n\xff\x00{"seq"')
    assert EventWriter(path).write("d") == 2
    assert [event["kind"] for event in read_events(path)] == ["a", "b", "c", "d"]


def test_what_has_no_kind_or_stands_behind_zeros_is_read_as_well_as_it_can_be(
    tmp_path: Path,
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"seq":1}\n{"kind":7}\n\0\0\0{"kind":"a"}\n')
    assert read_events(path) == [{"kind": "a"}]


def test_a_number_that_is_none_is_none() -> None:
    assert number("noon") is None
    assert number([1]) is None
