"""What happens at each step of a run: what is measured, looked at and answered, and when it ends.

The trainer calls it; it owns no weights. What is said is in telling.py, what is saved in saving.py.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from transformers import TrainerCallback

from core.config import Config
from core.disk import reason_of, takes_no_more
from core.events import Event
from core.jobs import JobWorker
from core.runs.curves import curve
from core.runs.finding import Finding
from core.train.checkpoint import rng_state
from core.train.checkpoint.manifest import Manifest
from core.train.checkpoint.policy import CheckpointPolicy
from core.train.checkpoint.progress import Pace, Progress
from core.train.checks import findings
from core.train.checks.findings import Diverged
from core.train.control import Requests
from core.train.event_log import EventLog, StepTimes


class PatienceOver(Exception):
    """The evaluation that a resumed run still owed ends it, before another step."""


class Point(msgspec.Struct):
    """The end of a step, beside weights and optimizer: enough to save it once the next failed."""

    step: int
    rng_state: dict[str, Any]
    streamed: Any  # where the rows stood


class RunCallback(TrainerCallback):
    """Writes the events of one run and decides what its trainer does next."""

    def __init__(
        self,
        worker: JobWorker,
        config: Config,
        progress: Progress,
        requests: Requests,
        answer_prompts: Callable[[int], int],
    ) -> None:
        self.worker = worker
        self.config = config
        self.progress = progress
        self.requests = requests
        self.answer_prompts = answer_prompts  # writes samples.jsonl, returns how many
        self.pace = Pace()
        self.telling = EventLog(worker, progress, self.pace)
        self.saving = CheckpointPolicy(config, progress, requests, self.telling)
        self.ended_early = False
        self.ending = ""  # "stopped" or "paused" once that is decided
        self.point: Point | None = None  # the end of the last step
        self.updating = False  # weights may be half updated
        self._steps_done = 0  # of this process
        self._times = StepTimes()
        self._step_started = 0.0
        self._spike_told: int | None = None
        self._evaluations: list[tuple[int, float]] = []
        self._losses: list[tuple[int, float]] = []

    def go_on_from(self, step: int, events: list[Event]) -> None:
        """Takes over what earlier processes recorded, up to the checkpoint's step."""
        self.ended_early = self.is_out_of_patience()
        self._evaluations = [p for p in curve(events, "eval", "eval_loss") if p[0] <= step]
        self._losses = [p for p in curve(events, "step", "loss") if p[0] <= step]

    @property
    def losses(self) -> list[tuple[int, float]]:
        """(step, loss) of the whole run so far."""
        return self._losses

    def saw_tokens(self, count: int) -> None:
        self._times.tokens += count

    def waited(self, seconds: float) -> None:
        """The next step had to wait so long for its batches."""
        self._times.waited_s = seconds

    # --- called by transformers, in this order within a step ---

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.telling.begin(state)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._times.tokens = 0
        self._step_started = time.monotonic()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.updating = True

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.updating = False
        self._steps_done += 1
        self._times.seconds = self._times.waited_s + time.monotonic() - self._step_started
        step, last = state.global_step, state.global_step >= state.max_steps
        streamed = msgspec.structs.replace(self.progress.streamed)
        self.point = Point(step, rng_state.take(), streamed)
        stop = self.requests.stop_asked()
        if step % self.config.eval.every_steps == 0 or last or self.requests.wants("evaluate"):
            control.should_evaluate = self.progress.evaluation_owed = True
        self.saving.decide(step, last, control)
        if stop and not last:
            self._stop(step, control)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if not logs or "loss" not in logs:
            return
        state.log_history.clear()  # the events hold it; in the checkpoint it would grow and grow
        step, loss, norm = state.global_step, logs["loss"], logs.get("grad_norm")
        for what, value in (("loss", loss), ("gradient", norm)):
            if value is not None and not math.isfinite(value):
                self.telling.step(state, logs, self._times)
                raise Diverged(step, what, value)
        times = self._times
        self.progress.add_step(loss, times.tokens, times.seconds, times.waited_s)
        self.pace.step(times.tokens, times.seconds)
        self._losses.append((step, loss))
        self.telling.step(state, logs, times)
        self.telling.state(state)
        self._look_at_losses(step, state.max_steps - step)
        if self.requests.wants("sample") and not control.should_evaluate:
            self._samples(step)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any
    ) -> None:
        step = state.global_step
        if metrics and "eval_loss" in metrics:
            self._evaluated(step, metrics, control)
        if metrics or not self.requests.ending:
            self.progress.evaluation_owed = False  # else it was given up, and comes at the resume
        self.requests.answer("evaluate", "evaluated" if metrics else "no rows are held out")
        if not self.requests.stop_asked():
            self._samples(step)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.saving.trouble and state.global_step < state.max_steps:
            self.ending = self.ending or "paused"
            control.should_training_stop = True

    # --- called by our trainers ---

    def has_room(self, step: int) -> bool:
        """Whether the disk has room for a checkpoint; asked before each."""
        return self.saving.has_room(step)

    def saved(self, folder: Path, manifest: Manifest, seconds: float) -> None:
        """A checkpoint is complete."""
        self.saving.saved(folder, manifest, seconds)

    def not_saved(self, step: int, error: OSError) -> None:
        """A checkpoint could not be written."""
        self.saving.failed(step, error)

    # --- decisions ---

    def finding(self, finding: Finding, step: int | None) -> None:
        self.telling.finding(finding, step)

    @property
    def loss_before(self) -> float | None:
        """The eval loss before the first step; None where it was not measured."""
        return next((loss for step, loss in self._evaluations if step == 0), None)

    def final_findings(self, step: int) -> None:
        """What is worth telling once the last step is done."""
        for finding in (
            findings.worse_than_base(self._evaluations),
            findings.starved(self.progress.data_wait_share),
        ):
            if finding is not None:
                self.finding(finding, step)

    def _look_at_losses(self, step: int, steps_left: int) -> None:
        """Raises Diverged for a spike beyond train.spike_factor; tells of lesser ones."""
        factor = self.config.train.spike_factor
        times = findings.times_the_median(self._losses)
        if factor is not None and times is not None and times >= factor:
            than = f"{times:.1f} times the median of the {findings.SPIKE_STEPS} steps before"
            raise Diverged(step, "loss", self._losses[-1][1], than)
        if (finding := findings.plateau(self._losses, steps_left)) is not None:
            self.finding(finding, step)
        told = self._spike_told
        if told is not None and step - told < findings.SPIKE_EVERY_STEPS:
            return
        if (finding := findings.spike(self._losses)) is not None:
            self._spike_told = step
            self.finding(finding, step)

    def _stop(self, step: int, control: Any) -> None:
        self.ending = self.requests.ending
        self.saving.ask("stop" if self.ending == "stopped" else "pause", control)
        control.should_training_stop = True
        control.should_evaluate = False
        self.worker.update("stopping", step=step)

    def _evaluated(self, step: int, metrics: dict[str, float], control: Any) -> None:
        eval_loss = metrics["eval_loss"]
        self.pace.pause(metrics["eval_seconds"])
        if not math.isfinite(eval_loss):
            raise Diverged(step, "eval loss", eval_loss)
        best = self.progress.add_evaluation(step, eval_loss)
        self._evaluations.append((step, eval_loss))
        self.telling.evaluated(step, metrics, best)
        if finding := findings.overfitting(self._evaluations, self._losses):
            self.finding(finding, step)
        if best and self._keeps_the_best() and not control.should_save:
            self.saving.ask("best", control)
        if self.is_out_of_patience():
            control.should_training_stop = True
            self.ended_early = True
            if not self._steps_done and step > 0:
                raise PatienceOver
            if not control.should_save:
                self.saving.ask("end", control)

    def is_out_of_patience(self) -> bool:
        """Whether early stopping is wanted and too many evaluations were no better."""
        patience = self.config.checkpoint.early_stopping_patience
        return patience is not None and self.progress.evaluations_since_best >= patience

    def _keeps_the_best(self) -> bool:
        """An adapter is small; a whole model is saved out of turn only if the end depends on it."""
        patience = self.config.checkpoint.early_stopping_patience
        return self.config.method.kind != "full" or patience is not None

    def _samples(self, step: int) -> None:
        started = time.monotonic()
        try:
            count = self.answer_prompts(step)
        except OSError as error:
            if not takes_no_more(error):
                raise
            message = f"The samples at step {step} could not be written: {reason_of(error)}."
            self.finding(Finding("warning", message, "Free disk space."), step)
            count = 0
        self.pace.pause(time.monotonic() - started)
        if count:
            self.worker.event("samples", step=step, count=count)
        self.requests.answer(
            "sample", f"{count} samples" if count else "there are no watch prompts"
        )
