"""Reads what the Export pane shows, in a thread of its own: sizes, results, and the job at work.

Whatever is slow (headers of a large model, its tokenizer) is read here and once per target.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from textual.message import Message

from core.errors import AfinaError
from core.events import Event, EventTail
from core.jobs import ACTIVE, Job
from core.runs.target import Target, resolve
from tui.poller import Poller

if TYPE_CHECKING:
    from exporters.job.export_spec import Wanted
    from exporters.job.plan import Plan
    from exporters.results import Result

BUSY_S, CALM_S = 0.5, 2.0  # between two looks, while an export works and while none does


class JobView(msgspec.Struct, frozen=True):
    """An export job: where it is, or how it ended."""

    directory: Path
    state: str
    reason: str
    phase: str = ""
    pending: tuple[str, ...] = ()  # exports that are not checked yet: "gguf:f16"
    detail: str = ""  # what the phase is at: a tensor, a file
    done: int = 0
    total: int = 0
    unit: str = ""
    failure: Event | None = None

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


class ExportView(msgspec.Struct, frozen=True):
    """Everything that the pane draws, as of one moment."""

    word: str
    target: Target | None = None
    problem: AfinaError | None = None  # why there is nothing to export
    plan: Plan | None = None  # of everything at once; None while it is made
    offered: list[Wanted] = []  # every export there is a word for
    tuned_bytes: int | None = None
    results: list[Result] = []
    job: JobView | None = None


class FollowedJob:
    """One export job, read from where the last look ended."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._tail = EventTail(job.events_path)
        self._phase = ""
        self._progress: Event = {}
        self._failure: Event | None = None
        self._pending: list[str] = []

    def ask_for(self, to: list[str]) -> FollowedJob:
        """Which files the job was asked for: "gguf:f16", ..."""
        self._pending = list(to)
        return self

    def look(self) -> JobView:
        for event in self._tail.read():
            kind = event.get("kind")
            if kind == "phase":
                words = [event.get("name"), event.get("detail")]
                self._phase = " ".join(str(word) for word in words if word)
                self._progress = {}
            elif kind == "progress":
                self._progress = event
            elif kind == "parity":
                self._over(_name_of(event.get("result")))
            elif kind == "failure":
                self._failure = event
                self._over(str(event.get("export")))
        return self._view()

    def _over(self, name: str) -> None:
        """An export is checked, or could not be written."""
        if name in self._pending:
            self._pending.remove(name)

    def _view(self) -> JobView:
        state, progress = self.job.state(), self._progress
        return JobView(
            self.job.directory,
            state.state,
            state.reason,
            self._phase,
            tuple(self._pending),
            str(progress.get("detail") or ""),
            int(progress.get("done") or 0),
            int(progress.get("total") or 0),
            str(progress.get("unit") or ""),
            self._failure,
        )


class ExportPoller(Poller):
    """`deliver` is called in its thread with each ExportView."""

    def __init__(
        self,
        home: Path,
        deliver: Callable[[ExportView], object],
        post: Callable[[Message], object],
    ) -> None:
        self._home = home
        self._deliver = deliver
        self._word = ""
        self._view = ExportView("")
        self._job: FollowedJob | None = None
        super().__init__("export", self._look, post)

    def choose(self, word: str) -> None:
        """Whose exports the next views show."""
        self._word = word
        self.look_now()

    def look(self) -> ExportView:
        """One look; a new target is planned first."""
        word = self._word
        if word != self._view.word or self._view.plan is None:
            self._view, self._job = self._planned(word), None
        view = self._view
        if view.plan is None:
            return view
        from exporters.results import results

        job = self._find_job(view.plan.folder)
        return msgspec.structs.replace(
            view, results=results(Path(view.plan.folder)), job=job.look() if job else None
        )

    def _planned(self, word: str) -> ExportView:
        from exporters.job.export_spec import everything
        from exporters.job.plan import plan_for

        if not word:
            return ExportView("")
        try:
            target = resolve(self._home, word)
            if target.kind != "hf":
                raise AfinaError("This is an export already.", "Choose the run it was made of.")
            offered = everything()
            plan = plan_for(self._home, target, offered)
        except AfinaError as error:
            return ExportView(word, problem=error)
        problem = None
        if not plan.items and plan.problems:
            problem = AfinaError(plan.problems[0].message, plan.problems[0].hint)
            return ExportView(word, target, problem, plan)
        return ExportView(word, target, None, plan, offered, weight_bytes(target))

    def _find_job(self, folder: str) -> FollowedJob | None:
        """The newest job that writes into the folder."""
        from exporters.job.request import all_exports, read_request

        for job in all_exports(self._home):
            with suppress(AfinaError):
                request = read_request(job)
                if Path(request.out) != Path(folder):
                    continue
                if self._job is None or self._job.job.directory != job.directory:
                    self._job = FollowedJob(job).ask_for(request.to)
                return self._job
        return None

    def _look(self) -> float:
        view = self.look()
        self._deliver(view)
        return BUSY_S if view.job is not None and view.job.active else CALM_S


def _name_of(result: object) -> str:
    """The word of a parity event's result: "gguf:f16"."""
    return f"{result.get('kind')}:{result.get('type')}" if isinstance(result, dict) else ""


def weight_bytes(target: Target) -> int | None:
    """Bytes of the weights on the disk, adapter included; None where there are none."""
    folders = [Path(target.model), *([Path(target.adapter)] if target.adapter else [])]
    files = [path for folder in folders for path in folder.glob("*.safetensors")]
    return sum(path.stat().st_size for path in files) or None
