"""One run as the screens show it, read from its directory bit by bit.

What is known of it can be rebuilt from the files at any time; every look reads only what is new.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from core.events import Event, EventTail, RowTail, number
from core.jobs import ACTIVE, State
from core.runs.curves import curve
from core.runs.run import Run, step_of, unreadable_reason
from tui.runs.detail import (
    CheckpointView,
    Confusion,
    Curve,
    Difference,
    FindingView,
    changed_since,
    checkpoint_views,
    config_text,
    differences,
    finding_of,
    origin_of,
    retry_words,
)

FIRST_PHASE = "reading data"  # of a training process
LOG_BYTES = 256 * 1024  # of the end of log.txt
CURVES = {  # name: kind and field of the events
    "loss": ("step", "loss"),
    "eval": ("eval", "eval_loss"),
    "learning_rate": ("step", "learning_rate"),
    "grad_norm": ("step", "grad_norm"),
    "tokens_per_s": ("step", "tokens_per_s"),
}


class RunView(msgspec.Struct, frozen=True):
    """One run as the list and the strip show it."""

    id: str
    name: str
    directory: Path
    state: str
    reason: str
    step: int
    steps: int
    best_step: int | None
    best_eval_loss: float | None
    has_result: bool
    last_checkpoint: int | None  # step of the newest complete one
    loss: float | None = None
    eval_loss: float | None = None
    tokens_per_s: float | None = None
    tokens: int | None = None
    eta_s: float | None = None
    started: float | None = None  # seconds since the epoch
    newest: float | None = None  # time of the newest event
    step_s: float = 0.0  # seconds between the last two steps
    phase: str = ""
    finding: Event | None = None
    failure: Event | None = None
    plan: Event | None = None
    control: Event | None = None  # the newest answer to a request
    data_wait: float | None = None  # share of the last step that waited for its batch
    mfu: float | None = None  # share of the device's peak
    objective: str = ""
    retrying: bool = False  # since the newest step it began anew by itself


class Detail(msgspec.Struct, frozen=True):
    """What the tabs show of the chosen run."""

    id: str
    curves: dict[str, Curve]
    samples: list[Event]
    log: list[str]
    config: str
    checkpoints: list[CheckpointView]
    differences: list[Difference] = []
    changed: list[str] = []  # by retries
    origin: list[str] = []  # what it goes on from, the nearest first
    findings: list[FindingView] = []  # oldest first
    confusion: Confusion | None = None


def unreadable(run: Run, error: Exception) -> RunView:
    """A run whose files can't be read, as the list shows it."""
    return RunView(
        *(run.id, run.name, run.directory, "unreadable", unreadable_reason(error)),
        *(0, 0, None, None, False, None),
    )


class GrowingCurve:
    """One curve. `points` is appended to, and another list once a resumed run goes back."""

    def __init__(self) -> None:
        self.points: Curve = []

    def add(self, new: Curve) -> None:
        """Adds what newer events say; from where a resumed run went back, only the new counts."""
        if new and self.points and new[0][0] <= self.points[-1][0]:
            self.points = [point for point in self.points if point[0] < new[0][0]] + new
        else:
            self.points.extend(new)


class FollowedRun:
    """One run, read from where the last look ended."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._events = EventTail(run.events_path)
        self._samples_tail = RowTail(run.directory / "samples.jsonl")
        self._curves = {name: GrowingCurve() for name in CURVES}
        self._samples: list[Event] = []
        self._saved: dict[int, Event] = {}  # checkpoint events by step
        self._latest: dict[str, Any] = {}  # fields of RunView
        self._step: int | None = None  # the newest step of this process, and its time
        self._step_t: float | None = None
        self._log: list[str] = []
        self._log_bytes = -1
        self._findings: list[FindingView] = []
        self._confusion: Confusion | None = None

    @cached_property
    def _differences(self) -> list[Difference]:
        """The configuration of a run is frozen."""
        return differences(self.run)

    def look(self) -> RunView:
        """Reads what is new; returns the run as it is now."""
        events = self._events.read()
        for name, (kind, field) in CURVES.items():
            self._curves[name].add(curve(events, kind, field))
        for event in events:
            self._take(event)
        state = self.run.state()
        saved = self.run.checkpoints()
        return RunView(
            id=self.run.id,
            name=self.run.name,
            directory=self.run.directory,
            state=state.state,
            reason=state.reason,
            step=self._step_now(state),
            steps=state.steps,
            best_step=state.best_step,
            best_eval_loss=state.best_eval_loss,
            has_result=self.run.result is not None,
            last_checkpoint=step_of(saved[-1]) if saved else None,
            objective=str((self._latest.get("plan") or {}).get("objective") or ""),
            **self._latest,
        )

    def detail(self) -> Detail:
        """What the tabs show; reads samples, log and configuration too."""
        self._samples += self._samples_tail.read()
        return Detail(
            id=self.run.id,
            curves={name: grown.points for name, grown in self._curves.items()},
            samples=list(self._samples),
            log=self._log_tail(),
            config=config_text(self.run),
            checkpoints=checkpoint_views(self.run, self._saved, self._curves["eval"].points),
            differences=self._differences,
            changed=changed_since(self.run),
            origin=origin_of(self.run),
            findings=list(self._findings),
            confusion=self._confusion,
        )

    def _take(self, event: Event) -> None:
        latest, kind, t = self._latest, event.get("kind"), event.get("t")
        latest.setdefault("started", t)
        latest["newest"] = t
        if kind == "step":
            if self._step_t is not None and t is not None:
                latest["step_s"] = max(0.0, t - self._step_t)
            self._step_t, self._step = t, event.get("step")
            latest |= {
                "loss": number(event.get("loss")),
                "tokens_per_s": number(event.get("tokens_per_s")),
                "eta_s": number(event.get("eta_s")),
                "tokens": event.get("tokens"),
                "data_wait": _share(event.get("data_wait_s"), event.get("step_s")),
                "phase": "",
                "retrying": False,
            }
        elif kind == "eval":
            latest["eval_loss"] = number(event.get("eval_loss"))
            self._confuse(event)
        elif kind == "phase":
            self._begin(event)
        elif kind == "progress":
            self._advance(event)
        elif kind == "checkpoint" and event.get("step") is not None:
            self._saved[int(event["step"])] = event
        elif kind == "retry":
            latest["finding"] = event | {"severity": "warning", "message": retry_words(event)}
            latest["retrying"] = True
        elif kind == "result":
            latest["mfu"] = number(event.get("mfu"))
        elif kind in ("finding", "failure", "plan", "control"):
            latest[kind] = event
        if (found := finding_of(event)) is not None:
            self._findings.append(found)

    def _confuse(self, event: Event) -> None:
        """The confusion matrix of the newest evaluation of a classifier."""
        table, plan = event.get("confusion"), self._latest.get("plan") or {}
        if isinstance(table, list):
            names = plan.get("classes") or []
            classes = [str(name) for name in names] or [str(i) for i in range(len(table))]
            self._confusion = Confusion(int(event.get("step") or 0), classes, table)

    def _begin(self, phase: Event) -> None:
        """A phase; the first one of a process ends what the process before left behind."""
        if phase.get("name") == FIRST_PHASE:
            self._latest |= {"failure": None, "eta_s": None}
            self._step = self._step_t = None
        words = [phase.get("name"), phase.get("detail")]
        self._latest["phase"] = " ".join(str(word) for word in words if word)

    def _advance(self, event: Event) -> None:
        """How far a phase is: "reading data, 1,200 of 12,480 rows"."""
        done, total, unit = event.get("done"), event.get("total"), event.get("unit", "")
        if isinstance(done, int) and isinstance(total, int):
            phase = str(self._latest.get("phase", "")).partition(",")[0]
            self._latest["phase"] = f"{phase}, {done:,} of {total:,} {unit}".strip(", ")

    def _step_now(self, state: State) -> int:
        """state.json is written once a second, events at each step."""
        if state.state in ACTIVE and self._step is not None:
            return self._step
        return state.step

    def _log_tail(self) -> list[str]:
        try:
            length = self.run.log_path.stat().st_size
        except FileNotFoundError:
            return []
        if length != self._log_bytes:
            self._log, self._log_bytes = tail_lines(self.run.log_path), length
        return self._log


def tail_lines(path: Path, most_bytes: int = LOG_BYTES) -> list[str]:
    """The whole lines at the end of a text file; none while there is no file."""
    try:
        with open(path, "rb") as file:
            length = file.seek(0, 2)
            start = max(0, length - most_bytes)
            file.seek(start)
            data = file.read(length - start)
    except FileNotFoundError:
        return []
    lines = data.decode("utf-8", "replace").split("\n")
    if start:
        lines = lines[1:]
    return lines if lines[-1] else lines[:-1]


def _share(part: object, whole: object) -> float | None:
    """The part of a whole, of events; None where there is no telling."""
    if isinstance(part, int | float) and isinstance(whole, int | float) and whole > 0:
        return part / whole
    return None
