"""Detached jobs: a directory, a process of its own, events out, requests in.

A job outlives the terminal that started it. Its directory holds state.json (replaced atomically),
events.jsonl, control.jsonl, log.txt and worker.lock; everything a screen shows is read from there.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from core import oom
from core.disk import overwrite, reason_of, takes_no_more
from core.environment import worker_environment
from core.errors import AfinaError
from core.events import Event, EventTail, EventWriter, PatientWriter, read_events
from core.paths import ROOT, write_atomic

ACTIVE = ("queued", "starting", "running", "stopping")
ENDED = ("done", "stopped", "paused", "failed", "interrupted")
START_LIMIT_S = 60.0  # a process that nobody saw starting by then never started
BIRTH = "birth.json"  # the process, as its starter saw it; the worker itself says it in state.json


class State(msgspec.Struct):
    """What state.json holds; fields that a newer version adds are ignored."""

    state: str
    pid: int | None = None
    process: str | None = None  # identity of the process behind pid, see process_identity
    updated: float = 0.0  # seconds since the epoch
    step: int = 0
    steps: int = 0
    best_step: int | None = None
    best_eval_loss: float | None = None
    reason: str = ""  # why it ended, a sentence
    heard: int = 0  # bytes of control.jsonl that were asked of earlier processes
    oom_counter: str | None = None  # file that counts processes ended for lack of memory
    oom_kills: int = 0  # what it said when the worker began


class Birth(msgspec.Struct, frozen=True):
    """What a starter knows of the process that it started, before that one speaks for itself."""

    pid: int
    process: str | None  # its identity; None where it was gone at once


class Job:
    """A job seen from outside: the app and the commands read it and send it requests."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)

    @property
    def events_path(self) -> Path:
        return self.directory / "events.jsonl"

    @property
    def log_path(self) -> Path:
        return self.directory / "log.txt"

    def state(self) -> State:
        """The state, corrected to "interrupted" when the process is gone without a last word."""
        state = self.recorded_state()
        if state.state in ACTIVE and not self._alive(state):
            state.state = "interrupted"
            state.reason = state.reason or _why_gone(state)
        return state

    def recorded_state(self) -> State:
        """The state as the worker last wrote it."""
        try:
            return msgspec.json.decode((self.directory / "state.json").read_bytes(), type=State)
        except FileNotFoundError:
            return State("interrupted", reason="It was never started: there is no state.json.")
        except (msgspec.DecodeError, OSError, RecursionError) as error:
            return State("interrupted", reason=f"state.json can't be read: {error}.")

    def write_state(self, state: State) -> None:
        state.updated = round(time.time(), 3)
        write_atomic(self.directory / "state.json", msgspec.json.encode(state))

    def events(self) -> list[Event]:
        return read_events(self.events_path)

    def request(self, action: str, **fields: Any) -> int:
        """Asks the worker for something; its answer is a `control` event with this number."""
        path = self.directory / "control.jsonl"
        with open(path, "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # two that ask at once would count from the same line
            requests = EventWriter(path)
            try:
                return requests.write(action, **fields)
            finally:
                requests.close()

    def start(self, worker: str, environment: dict[str, str] | None = None) -> int:
        """Starts the worker as a process of its own session; returns its pid.

        The terminal can go: stdin is closed, stdout and stderr go to log.txt, and the process gets
        no signal of ours.
        """
        self.announce()
        with open(self.log_path, "ab") as log:
            process = subprocess.Popen(
                [sys.executable, str(ROOT / "afina.py"), "worker", worker, str(self.directory)],
                cwd=self.directory,
                env=worker_environment() | (environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        born = Birth(process.pid, process_identity(process.pid))
        write_atomic(self.directory / BIRTH, msgspec.json.encode(born))
        return process.pid

    def announce(self) -> None:
        """Writes the state of a job whose process is about to start; one at work is refused."""
        state = self.state()
        if state.state in ACTIVE and state.pid is not None:
            raise AfinaError(
                f'"{self.directory.name}" is {state.state} already, as process {state.pid}.',
                "Watch it, or stop it first.",
            )
        control = self.directory / "control.jsonl"
        try:
            (self.directory / BIRTH).unlink(missing_ok=True)
            self.write_state(
                State(
                    "starting",
                    step=state.step,
                    steps=state.steps,
                    best_step=state.best_step,
                    best_eval_loss=state.best_eval_loss,
                    heard=control.stat().st_size if control.exists() else 0,
                )
            )
        except OSError as error:
            raise AfinaError(
                f'Can\'t write in "{self.directory}": {reason_of(error)}.',
                "Make room there, or make it writable.",
            ) from error

    def _alive(self, state: State) -> bool:
        """Whether the process is there; until it has said its pid, its starter's word counts."""
        if state.pid is not None:
            return state.process is not None and process_identity(state.pid) == state.process
        try:
            born = msgspec.json.decode((self.directory / BIRTH).read_bytes(), type=Birth)
        except FileNotFoundError:
            # either way: a clock that was set back must not make it wait for an hour
            return abs(time.time() - state.updated) < START_LIMIT_S
        except (msgspec.DecodeError, OSError):
            return False  # it is written whole: damage came later, and tells of no process
        return born.process is not None and process_identity(born.pid) == born.process


class JobWorker:
    """A job seen from inside: owns its state, writes its events, reads its requests.

    Two threads may speak. A disk that takes no more ends nothing: what could not be written is
    written with what comes next.
    """

    def __init__(self, directory: str | Path) -> None:
        self.job = Job(directory)
        self._events = PatientWriter(self.job.events_path)
        self._lock = threading.RLock()
        before = self.job.recorded_state()
        self._requests = EventTail(self.job.directory / "control.jsonl", before.heard)
        counter, identity = oom.counter(), process_identity(os.getpid())
        # the same process: it took itself for a new one by exec
        self.again = identity is not None and before.process == identity
        self.current = State(
            "starting",
            pid=os.getpid(),
            process=identity,
            step=before.step,
            steps=before.steps,
            best_step=before.best_step,
            best_eval_loss=before.best_eval_loss,
            heard=before.heard,
            oom_counter=str(counter) if counter else None,
            oom_kills=(oom.kills(counter) or 0) if counter else 0,
        )
        self._write_state()

    def event(self, kind: str, **fields: Any) -> int:
        return self._events.write(kind, **fields)

    def update(self, state: str | None = None, **fields: Any) -> None:
        """Replaces state.json; a change of the state itself is an event too.

        The event comes first: whoever sees the last state finds all that led to it in the events.
        """
        with self._lock:
            changed = state is not None and state != self.current.state
            if state is not None:
                self.current.state = state
            for name, value in fields.items():
                setattr(self.current, name, value)
            if changed:
                self.event("state", state=self.current.state, reason=self.current.reason)
            self._write_state()

    def end(self, state: str, reason: str) -> bool:
        """Says the last state from another thread; False when the job has ended meanwhile."""
        with self._lock:
            if self.current.state in ENDED:
                return False
            self.update(state, reason=reason)
            return True

    def hand_on(self) -> None:
        """Leaves the state to the process that this one becomes: what it was asked is answered."""
        self.update("starting", heard=self._requests.offset)

    def _write_state(self) -> None:
        try:
            self.job.write_state(self.current)
        except OSError as error:
            if not takes_no_more(error):
                raise
            with suppress(OSError):
                overwrite(self.job.directory / "state.json", msgspec.json.encode(self.current))

    def requests(self) -> list[Event]:
        """What was asked since the last call: events whose kind is the action."""
        return self._requests.read()

    def answer(self, request: Event, result: str) -> None:
        self.event("control", request=request.get("seq"), action=request.get("kind"), result=result)

    def close(self) -> None:
        self._events.close()


@contextmanager
def sole_worker(directory: Path) -> Iterator[None]:
    """Holds the job's lock, so that a second worker on the same directory is refused."""
    with open(directory / "worker.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AfinaError(
                f'Another process works on "{directory.name}".',
                "Stop it first, or wait for its end.",
            ) from error
        yield


def _why_gone(state: State) -> str:
    """What is known of a process that could not speak any more."""
    boots = [
        each.rpartition(":")[0] for each in (state.process, process_identity(os.getpid())) if each
    ]
    if len(boots) == 2 and boots[0] != boots[1]:
        return "The machine was started anew while it was at work."
    counted = oom.kills(Path(state.oom_counter)) if state.oom_counter else None
    if counted is not None and counted > state.oom_kills:
        return (
            "The process was killed, most likely because the machine ran out of memory: since it "
            f"began, {counted - state.oom_kills} process(es) were ended for that. Smaller batches "
            "or shorter rows need less."
        )
    return "The process ended without a last word; see log.txt."


def process_identity(pid: int) -> str | None:
    """A name for this very process, which a recycled pid doesn't have; None when it is gone.

    On Linux the boot and the start in clock ticks since it, which no change of the clock moves.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
        return _portable_identity(pid)
    except (ProcessLookupError, PermissionError):
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces
    if fields[0] in "ZX":  # ended, not yet collected by its parent
        return None
    return f"{boot}:{fields[19]}"


def _portable_identity(pid: int) -> str | None:
    import psutil

    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.NoSuchProcess:
        return None
