"""What the top line knows of the runs."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from core.events import EventWriter
from core.jobs import State
from tests.tui.homes import write_run
from tui.activity import Activity, ActivityPoller, RunReader
from tui.theme import UNICODE
from tui.widgets.status_bar import activity_words


def words(activity: Activity) -> list[str]:
    return [text.plain for text in activity_words(activity, UNICODE.live)]


def test_a_home_without_runs_has_no_activity(tmp_path: Path) -> None:
    assert RunReader(tmp_path).read() == Activity()


def test_the_active_run_is_followed_until_it_ends(tmp_path: Path) -> None:
    write_run(tmp_path, "old", "done")
    run = write_run(tmp_path, "travel-lora", "running", at=412)
    reader = RunReader(tmp_path)
    seen = reader.read()
    assert (seen.run, seen.state, seen.step, seen.steps) == ("travel-lora", "running", 412, 900)
    events = EventWriter(run.events_path)
    events.write("step", step=413, steps=900, loss=float("nan"), eta_s=120.0)
    events.close()
    seen = reader.read()
    assert seen.step == 413 and seen.loss != seen.loss
    run.write_state(State("done", step=900, steps=900))
    assert reader.read() == Activity()


def test_a_run_that_says_nothing_is_shown_as_quiet_instead_of_with_an_old_eta(
    tmp_path: Path,
) -> None:
    run = write_run(tmp_path, "travel-lora", "running", at=412)
    events = EventWriter(run.events_path)
    events.write("step", t=time.time() - 65, step=413, steps=900, loss=1.5, eta_s=120.0)
    events.close()
    seen = words(RunReader(tmp_path).read())
    assert seen[0] == "● travel-lora 413/900 loss 1.50 no event for 60 s"
    assert seen[-1] == "● 45%"


def test_before_the_first_step_the_phase_is_shown(tmp_path: Path) -> None:
    run = write_run(tmp_path, "travel-lora", "starting", at=0)
    events = EventWriter(run.events_path)
    events.write("phase", name="loading model", detail="")
    events.close()
    assert words(RunReader(tmp_path).read())[0] == "● travel-lora loading model"


def test_the_words_get_shorter_form_by_form() -> None:
    activity = Activity("travel-lora", "running", 412, 900, 1.234, 480.0, device="gpu 93%")
    assert words(activity) == [
        "● travel-lora 412/900 loss 1.23 eta 8 min  gpu 93%",
        "● travel-lora 412/900 loss 1.23 eta 8 min",
        "● travel-lora 45% 8 min",
        "● travel-l 45% 8 min",
        "● 45% 8 min",
    ]
    assert words(activity._replace(runs=2))[1].startswith("● 2 runs travel-lora")
    assert words(Activity(device="gpu 0%")) == ["gpu 0%"]
    assert words(Activity()) == []


def test_the_thread_posts_changes_only_and_stops(tmp_path: Path) -> None:
    write_run(tmp_path, "travel-lora", "running", at=412)
    posted: list[Activity] = []
    came = threading.Event()

    def post(activity: Activity) -> None:
        posted.append(activity)
        came.set()

    poller = ActivityPoller(tmp_path, post, pytest.fail)
    poller.start()
    assert came.wait(20)
    poller.close()
    poller._thread.join(20)
    assert not poller._thread.is_alive()
    assert len(posted) == 1 and posted[0].run == "travel-lora"
