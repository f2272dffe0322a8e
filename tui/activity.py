"""What goes on outside the app: the active run and the device, read once a second by a thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from textual.message import Message

from core.events import EventTail, number
from core.jobs import ACTIVE
from core.runs.run import Run, all_runs
from tui.poller import Poller

INTERVAL_S = 1.0
QUIET_S = 20.0  # a step or an evaluation may take this long before its run counts as quiet
DEVICE_EVERY = 3  # ticks: asking a driver costs more than reading a file


class Activity(NamedTuple):
    """The newest active run in figures, and the device in words."""

    run: str = ""  # name; empty when nothing is at work
    state: str = ""
    step: int = 0
    steps: int = 0
    loss: float | None = None
    eta_s: float | None = None
    phase: str = ""  # what the worker does before its first step
    runs: int = 0  # active ones
    device: str = ""
    quiet_s: int = 0  # since the last event, in tens; 0 while the figures are fresh


class ActivityTick(Message):
    """What goes on outside the app, once a second. A newer one replaces those not handled yet."""

    def __init__(self, activity: Activity) -> None:
        super().__init__()
        self.activity = activity

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, ActivityTick)


class RunReader:
    """Follows the newest active run of a home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._ended: dict[Path, float] = {}  # run that had ended: change time of its state.json
        self._followed: Path | None = None
        self._tail: EventTail | None = None
        self._last = Activity()
        self._event_t = 0.0  # seconds since the epoch, of the newest event

    def read(self) -> Activity:
        active = [run for run in all_runs(self.home) if self._at_work(run)]
        if not active:
            self._followed = None
            return Activity()
        run = active[0]
        if run.directory != self._followed:
            self._followed, self._tail = run.directory, EventTail(run.events_path)
            self._last = Activity()
            self._event_t = time.time()
        state = run.state()
        self._last = self._last._replace(
            run=run.name, state=state.state, step=state.step, steps=state.steps, runs=len(active)
        )
        for event in self._tail.read() if self._tail else []:
            self._take(event)
        quiet = time.time() - self._event_t
        self._last = self._last._replace(quiet_s=int(quiet / 10) * 10 if quiet > QUIET_S else 0)
        return self._last

    def _at_work(self, run: Run) -> bool:
        """Reads a state only if it can have changed: a home may hold hundreds of ended runs."""
        try:
            changed = (run.directory / "state.json").stat().st_mtime
        except OSError:
            return False
        if self._ended.get(run.directory) == changed:
            return False
        if run.state().state in ACTIVE:
            return True
        self._ended[run.directory] = changed
        return False

    def _take(self, event: dict) -> None:
        self._event_t = number(event.get("t")) or self._event_t
        if event["kind"] == "step":
            self._last = self._last._replace(
                step=int(event.get("step", 0)),
                steps=int(event.get("steps", self._last.steps)),
                loss=number(event.get("loss")),
                eta_s=number(event.get("eta_s")),
                phase="",
            )
        elif event["kind"] == "phase":
            self._last = self._last._replace(phase=str(event.get("name", "")))


class ActivityPoller(Poller):
    """Hands an Activity to `deliver` at every change, in its thread, until it is closed."""

    def __init__(
        self,
        home: Path,
        deliver: Callable[[Activity], object],
        post: Callable[[Message], object],
    ) -> None:
        self._reader = RunReader(home)
        self._deliver = deliver
        self._device, self._tick, self._before = "", 0, Activity()
        super().__init__("activity", self._look, post)

    def _look(self) -> float:
        started = time.monotonic()
        if self._tick % DEVICE_EVERY == 0:
            self._device = device_line()
        self._tick += 1
        activity = self._reader.read()._replace(device=self._device)
        if activity != self._before:
            self._before = activity
            self._deliver(activity)
        return max(0.1, INTERVAL_S - (time.monotonic() - started))


def device_line() -> str:
    """The accelerator or the CPU in a few words."""
    from core import hardware  # loads the driver's library

    return hardware.device_line()
