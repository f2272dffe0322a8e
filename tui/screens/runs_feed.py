"""Follows the runs of a home in a thread of its own, and hands out snapshots of all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from core.runs import all_runs
from tui.screens.run_view import Detail, FollowedRun, RunView

PERIOD_S = 1.0


class Snapshot(msgspec.Struct, frozen=True):
    """Everything that the pane draws, as of one moment."""

    runs: list[RunView]
    detail: Detail | None


class RunsFeed:
    """The thread. `deliver` is called there with each Snapshot."""

    def __init__(self, home: Path, deliver: Callable[[Snapshot], object]) -> None:
        self._home = home
        self._deliver = deliver
        self._followed: dict[str, FollowedRun] = {}
        self._chosen: str | None = None
        self._awake = threading.Event()
        self._look_now = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._follow, name="runs feed", daemon=True)

    def start(self) -> None:
        self._awake.set()
        if not self._thread.is_alive():
            self._thread.start()
        self.look_now()

    def pause(self) -> None:
        """Reads nothing until the next start."""
        self._awake.clear()

    def close(self) -> None:
        self._closed = True
        self._awake.set()
        self.look_now()

    def choose(self, run: str | None) -> None:
        """Whose details the next snapshots carry."""
        if run != self._chosen:
            self._chosen = run
            self.look_now()

    def look_now(self) -> None:
        self._look_now.set()

    def look(self) -> Snapshot:
        """One look at every run, newest first."""
        runs = all_runs(self._home)
        followed = {run.id: self._followed.get(run.id) or FollowedRun(run) for run in runs}
        self._followed = followed
        views = [each.look() for each in followed.values()]
        chosen = followed.get(self._chosen or "") or next(iter(followed.values()), None)
        return Snapshot(views, chosen.detail() if chosen else None)

    def _follow(self) -> None:
        while True:
            self._awake.wait()
            if self._closed:
                return
            self._look_now.clear()
            with suppress(OSError):  # a run that is deleted while it is read: the next look knows
                self._deliver(self.look())
            self._look_now.wait(PERIOD_S)
