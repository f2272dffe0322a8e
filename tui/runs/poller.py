"""Follows the runs of a home in a thread of its own, and hands out snapshots of all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from core.runs.run import all_runs
from tui.feed import Feed
from tui.runs.view import Detail, FollowedRun, RunView

PERIOD_S = 1.0


class Snapshot(msgspec.Struct, frozen=True):
    """Everything that the pane draws, as of one moment."""

    runs: list[RunView]
    detail: Detail | None


class RunsFeed(Feed):
    """`deliver` is called in its thread with each Snapshot."""

    def __init__(self, home: Path, deliver: Callable[[Snapshot], object]) -> None:
        self._home = home
        self._deliver = deliver
        self._followed: dict[str, FollowedRun] = {}
        self._chosen: str | None = None
        super().__init__("runs feed", self._look)

    def choose(self, run: str | None) -> None:
        """Whose details the next snapshots carry."""
        if run != self._chosen:
            self._chosen = run
            self.look_now()

    def look(self) -> Snapshot:
        """One look at every run, newest first."""
        runs = all_runs(self._home)
        followed = {run.id: self._followed.get(run.id) or FollowedRun(run) for run in runs}
        self._followed = followed
        views = [each.look() for each in followed.values()]
        chosen = followed.get(self._chosen or "") or next(iter(followed.values()), None)
        return Snapshot(views, chosen.detail() if chosen else None)

    def _look(self) -> float:
        self._deliver(self.look())
        return PERIOD_S
