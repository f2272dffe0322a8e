"""Follows the runs of a home in a thread of its own, and hands out snapshots of all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
from textual.message import Message

from core.runs.run import UNREADABLE, all_runs
from tui.poller import Poller
from tui.runs.view import Detail, FollowedRun, RunView, unreadable

PERIOD_S = 1.0


class Snapshot(msgspec.Struct, frozen=True):
    """Everything that the pane draws, as of one moment."""

    runs: list[RunView]
    detail: Detail | None


class RunsPoller(Poller):
    """`deliver` is called in its thread with each Snapshot."""

    def __init__(
        self,
        home: Path,
        deliver: Callable[[Snapshot], object],
        post: Callable[[Message], object],
    ) -> None:
        self._home = home
        self._deliver = deliver
        self._followed: dict[str, FollowedRun] = {}
        self._chosen: str | None = None
        super().__init__("runs", self._look, post)

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
        views = [view for each in followed.values() if (view := _view_of(each)) is not None]
        chosen = followed.get(self._chosen or "") or next(iter(followed.values()), None)
        return Snapshot(views, _detail_of(chosen) if chosen else None)

    def _look(self) -> float:
        self._deliver(self.look())
        return PERIOD_S


def _view_of(each: FollowedRun) -> RunView | None:
    """The run as it is now; one that can't be read says why, one that was deleted is left out."""
    try:
        return each.look()
    except UNREADABLE as error:
        return unreadable(each.run, error) if each.run.directory.is_dir() else None


def _detail_of(each: FollowedRun) -> Detail | None:
    try:
        return each.detail()
    except UNREADABLE:
        return None  # its line in the list says why
