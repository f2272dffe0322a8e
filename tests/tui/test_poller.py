"""Threads of the app: a fault is told and ends nothing."""

from __future__ import annotations

import threading
from pathlib import Path

from textual.message import Message

from core.runs.run import summaries
from tests.tui.homes import write_run
from tui.activity import RunReader
from tui.poller import Poller, PollerFailed
from tui.runs.poller import RunsPoller


def test_a_fault_is_told_once_and_the_thread_goes_on() -> None:
    told: list[Message] = []
    looks: list[int] = []
    third = threading.Event()

    def work() -> float:
        looks.append(1)
        if len(looks) == 3:
            third.set()
            return 60.0
        poller.look_now()
        raise KeyError("step")

    poller = Poller("runs", work, told.append)
    poller.start()
    assert third.wait(20)
    poller.close()
    (failed,) = told
    assert isinstance(failed, PollerFailed) and isinstance(failed.error, KeyError)


def test_a_file_that_goes_while_it_is_read_is_no_fault() -> None:
    told: list[Message] = []
    looks: list[int] = []
    second = threading.Event()

    def work() -> float:
        looks.append(1)
        if len(looks) == 2:
            second.set()
            return 60.0
        poller.look_now()
        raise FileNotFoundError("events.jsonl")

    poller = Poller("runs", work, told.append)
    poller.start()
    assert second.wait(20)
    poller.close()
    assert not told


def test_one_run_that_cant_be_read_hides_no_other(tmp_path: Path) -> None:
    write_run(tmp_path, "good", "done", at=900)
    bad = write_run(tmp_path, "bad", "done", at=900)
    bad.events_path.unlink()
    bad.events_path.mkdir()
    assert {row.run: row.state for row in summaries(tmp_path)}[bad.id] == "unreadable"
    assert len(summaries(tmp_path)) == 2
    seen = RunsPoller(tmp_path, lambda snapshot: None, lambda message: None).look()
    assert sorted(view.state for view in seen.runs) == ["done", "unreadable"]


def test_mistyped_events_are_passed_over(tmp_path: Path) -> None:
    run = write_run(tmp_path, "travel", "running", at=412)
    with open(run.events_path, "a") as file:
        file.write('{"kind": "step", "step": "x"}\n{"kind": "step", "t": "now"}\n[1]\n')
        file.write("[" * 5000 + "\n")
    before = RunReader(tmp_path).read()
    assert before.run == "travel" and isinstance(before.step, int)
    assert summaries(tmp_path)[0].state != "unreadable"
