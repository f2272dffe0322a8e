"""Jobs as detached processes: liveness, the lock, requests."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import jobs, oom
from core.errors import AfinaError
from core.jobs import Job, JobWorker, State, process_identity, sole_worker
from core.paths import ROOT


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Some living process that is not ours to talk to."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def until(condition: object, deadline_s: float = 30.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_job_whose_process_is_gone_is_interrupted(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    job = Job(tmp_path)
    job.write_state(
        State("running", pid=sleeper.pid, process=process_identity(sleeper.pid), step=7)
    )
    assert job.state().state == "running"
    sleeper.kill()
    sleeper.wait()
    state = job.state()
    assert (state.state, state.step) == ("interrupted", 7)
    assert "log.txt" in state.reason
    assert job.recorded_state().state == "running"


def test_a_process_that_ended_but_was_not_collected_counts_as_gone(
    sleeper: subprocess.Popen[bytes],
) -> None:
    os.kill(sleeper.pid, signal.SIGKILL)
    until(lambda: process_identity(sleeper.pid) is None)
    assert sleeper.returncode is None


def test_another_process_with_the_same_pid_is_not_ours(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    job = Job(tmp_path)
    identity = process_identity(sleeper.pid)
    assert identity is not None
    job.write_state(State("running", pid=sleeper.pid, process=identity + "0"))
    assert job.state().state == "interrupted"


def test_a_worker_that_never_said_its_pid_is_waited_for_and_then_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(tmp_path)
    job.write_state(State("starting"))
    assert job.state().state == "starting"
    monkeypatch.setattr(jobs, "START_LIMIT_S", -1.0)
    assert job.state().state == "interrupted"


def test_a_worker_that_dies_before_it_says_its_pid_is_interrupted_at_once(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.start("no-such-worker")
    deadline = time.monotonic() + 20
    while job.state().state != "interrupted":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert "no-such-worker" in job.log_path.read_text()


def test_states_that_are_over_stay_as_they_are(tmp_path: Path) -> None:
    for word in jobs.ENDED:
        Job(tmp_path).write_state(State(word, pid=1, process="long ago"))
        assert Job(tmp_path).state().state == word


def test_without_or_with_a_broken_state_file_a_job_is_interrupted(tmp_path: Path) -> None:
    assert "never started" in Job(tmp_path).state().reason
    (tmp_path / "state.json").write_text("{")
    assert "can't be read" in Job(tmp_path).state().reason


def test_a_state_with_fields_of_a_newer_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"state": "done", "step": 3, "colour": "amber"}')
    assert Job(tmp_path).state().step == 3


def test_a_job_that_is_at_work_is_not_started_again(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    job = Job(tmp_path)
    job.write_state(State("running", pid=sleeper.pid, process=process_identity(sleeper.pid)))
    with pytest.raises(AfinaError, match=f"running already, as process {sleeper.pid}"):
        job.start("train")


def test_starting_again_keeps_how_far_it_was_and_what_was_best(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.write_state(State("stopped", step=5, steps=9, best_step=4, best_eval_loss=1.5, reason="x"))
    job.announce()
    worker = JobWorker(tmp_path)
    state = job.state()
    assert (state.state, state.pid) == ("starting", os.getpid())
    assert (state.step, state.steps, state.best_step, state.best_eval_loss) == (5, 9, 4, 1.5)
    assert state.reason == ""
    worker.close()


def test_two_workers_on_one_job_are_impossible(tmp_path: Path) -> None:
    refused = pytest.raises(AfinaError, match="Another process works on")
    with sole_worker(tmp_path), refused, sole_worker(tmp_path):
        pass
    with sole_worker(tmp_path):
        pass  # free again


def test_requests_reach_the_worker_once_and_are_answered_by_number(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.request("stop")  # of an earlier process
    job.announce()
    number = job.request("checkpoint")
    worker = JobWorker(tmp_path)
    (request,) = worker.requests()
    assert (request["kind"], request["seq"]) == ("checkpoint", number)
    assert worker.requests() == []
    worker.answer(request, "saved")
    (event,) = job.events()
    assert (event["kind"], event["request"], event["action"]) == ("control", number, "checkpoint")
    worker.close()


def test_a_change_of_state_is_an_event_and_other_fields_are_not(tmp_path: Path) -> None:
    worker = JobWorker(tmp_path)
    worker.update("running", steps=9)
    worker.update(step=3)
    worker.update("running", step=4)
    worker.update("failed", reason="No.")
    kinds = [(event["kind"], event["state"]) for event in Job(tmp_path).events()]
    assert kinds == [("state", "running"), ("state", "failed")]
    assert Job(tmp_path).state().reason == "No."
    worker.close()


def test_a_worker_is_detached_from_its_starter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session of its own, stdin closed, its words in log.txt."""
    script = tmp_path / "afina.py"
    script.write_text(
        "import os, sys\n"
        "print(os.getsid(0) == os.getpid(), repr(sys.stdin.read()), os.getcwd(), sys.argv[1:])\n"
    )
    job = Job(tmp_path / "job")
    job.directory.mkdir()
    monkeypatch.setattr(jobs, "ROOT", tmp_path)
    pid = job.start("train")
    os.waitpid(pid, 0)
    words = ["worker", "train", str(job.directory)]
    assert job.log_path.read_text() == f"True '' {job.directory} {words}\n"


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0])
def test_a_clock_that_jumps_leaves_a_living_job_alive(
    tmp_path: Path, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    job = Job(tmp_path)
    job.write_state(State("running", pid=sleeper.pid, process=process_identity(sleeper.pid)))
    now = time.time()
    monkeypatch.setattr(jobs.time, "time", lambda: now + jump_s)
    assert job.state().state == "running"


def test_a_clock_that_was_set_back_does_not_keep_a_job_starting_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(tmp_path)
    job.write_state(State("starting"))
    now = time.time()
    monkeypatch.setattr(jobs.time, "time", lambda: now - 3600)
    assert job.state().state == "interrupted"


def test_a_process_that_the_system_killed_for_memory_has_its_likely_reason(tmp_path: Path) -> None:
    counter = tmp_path / "memory.events"
    counter.write_text("low 0\noom 3\noom_kill 4\n")
    assert oom.kills(counter) == 4
    job = Job(tmp_path)
    gone = f"{(process_identity(os.getpid()) or '').rpartition(':')[0]}:1"
    job.write_state(
        State("running", pid=os.getpid(), process=gone, oom_counter=str(counter), oom_kills=4)
    )
    assert "log.txt" in job.state().reason
    counter.write_text("oom_kill 5\n")
    assert "most likely because the machine ran out of memory" in job.state().reason


def test_a_machine_that_was_started_anew_is_the_reason(tmp_path: Path) -> None:
    Job(tmp_path).write_state(State("running", pid=1, process="another-boot:77"))
    assert "started anew" in Job(tmp_path).state().reason


def test_a_last_word_finds_its_place_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = JobWorker(tmp_path)
    worker.update("running", step=3)

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(jobs, "write_atomic", full)
    worker.update("paused", reason="Full.")
    state = Job(tmp_path).state()
    assert (state.state, state.step, state.reason) == ("paused", 3, "Full.")
    worker.close()


def test_a_start_where_nothing_can_be_written_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(path: Path, content: bytes) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(jobs, "write_atomic", read_only)
    with pytest.raises(AfinaError, match="Read-only file system"):
        Job(tmp_path).announce()


def test_an_end_is_not_written_over(tmp_path: Path) -> None:
    worker = JobWorker(tmp_path)
    worker.update("done")
    assert not worker.end("stopped", "Too late.")
    assert Job(tmp_path).state().state == "done"
    worker.close()


def test_a_worker_that_begins_again_has_heard_what_was_asked_before(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.announce()
    first = JobWorker(tmp_path)
    assert not first.again
    job.request("checkpoint")
    assert len(first.requests()) == 1
    first.hand_on()
    first.close()
    second = JobWorker(tmp_path)
    assert second.again and second.requests() == []
    second.close()


def test_two_that_ask_at_once_never_share_a_number(tmp_path: Path) -> None:
    asking = (
        "import sys; from core.jobs import Job; job = Job(sys.argv[1])\n"
        "input()\n"
        "print(*[job.request('checkpoint') for _ in range(50)])"
    )
    people = [
        subprocess.Popen(
            [sys.executable, "-c", asking, str(tmp_path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    answers = []
    for one in people:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    for one in people:
        answers += one.communicate()[0].split()
    assert sorted(map(int, answers)) == list(range(1, 151))
