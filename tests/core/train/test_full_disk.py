"""Runs on a disk that takes no more: they pause, and lose nothing that lies there."""

from __future__ import annotations

import errno
from functools import partial

from core.train.checkpoint import manifest
from tests.core.train import faults
from tests.core.train.conftest import Configure, NewWorker, losses, of_kind, steps

WORDS = ("train.max_steps=12", "checkpoint.every_steps=3", "data.eval_fraction=0")


def test_a_disk_that_gets_full_costs_old_checkpoints_first_and_then_pauses_the_run(
    new_worker: NewWorker, configure: Configure
) -> None:
    worker = new_worker(configure(*WORDS)).start(partial(faults.make_the_disk_small, 2))
    assert worker.wait() == 0, worker.log()
    assert worker.run.state().state == "done", "two have room: the newest and the next one"
    said = [event["message"] for event in of_kind(worker.run, "finding")]
    assert any("1 older checkpoint was deleted" in message for message in said)

    worker = new_worker(configure(*WORDS)).start(partial(faults.make_the_disk_small, 1))
    assert worker.wait() == 0, worker.log()
    state = worker.run.state()
    assert (state.state, state.step) == ("paused", 6)
    assert "The disk is full: a checkpoint needs" in state.reason
    assert "goes on from step-000003" in state.reason
    assert [manifest.step_of(folder) for folder in worker.run.checkpoints()] == [3]
    assert of_kind(worker.run, "result")[-1]["state"] == "paused"

    assert worker.start().wait() == 0, worker.log()
    assert worker.run.state().state == "done"
    assert sorted(steps(worker.run)) == list(range(1, 13))


def test_a_checkpoint_that_fails_once_is_passed_by_and_twice_pauses_the_run(
    new_worker: NewWorker, configure: Configure
) -> None:
    once = partial(faults.fail_to_save, errno.ENOSPC, 1)
    worker = new_worker(configure(*WORDS)).start(once)
    assert worker.wait() == 0, worker.log()
    assert worker.run.state().state == "done"
    saved = [event["step"] for event in of_kind(worker.run, "checkpoint")]
    assert saved == [6, 9, 12]

    twice = partial(faults.fail_to_save, errno.EROFS, 2)
    worker = new_worker(configure(*WORDS)).start(twice)
    assert worker.wait() == 0, worker.log()
    state = worker.run.state()
    assert (state.state, state.step) == ("paused", 6)
    assert "could not be saved: Read-only file system." in state.reason
    assert list((worker.run.directory / "checkpoints").iterdir()) == []


def test_a_stop_that_can_not_be_saved_says_so(new_worker: NewWorker, configure: Configure) -> None:
    words = ("train.max_steps=5000", "checkpoint.every_steps=5000")
    worker = new_worker(configure(*words)).start(partial(faults.fail_to_save, errno.EIO, 9))
    worker.until_step(2)
    worker.run.request("stop")
    assert worker.wait() == 0, worker.log()
    state = worker.run.state()
    assert state.state == "stopped"
    assert "could not be saved: Input/output error." in state.reason
    assert "goes on from the beginning" in state.reason
    assert "not saved" in of_kind(worker.run, "control")[0]["result"]


def test_events_that_found_no_room_are_written_once_there_is_some(
    new_worker: NewWorker, configure: Configure
) -> None:
    words = ("train.max_steps=12", "data.eval_fraction=0", "checkpoint.every_steps=50")
    worker = new_worker(configure(*words)).start(partial(faults.refuse_events, 4, 8))
    assert worker.wait() == 0, worker.log()
    assert worker.run.state().state == "done"
    events = worker.run.events()
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert sorted(losses(worker.run)) == list(range(1, 13))
