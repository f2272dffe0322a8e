"""What happens at each step of a run: events, requests, samples, when to evaluate, save, stop.

The trainer calls it; it owns no weights. Everything a screen shows of a run comes from here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from core.config import Config
from core.curves import curve
from core.events import Event
from core.jobs import JobWorker
from core.train.progress import Pace, Progress
from core.train.requests import Requests
from core.train.safety import checkpoints
from core.train.safety.checkpoints import Manifest
from core.train.safety.findings import Diverged, Finding, overfitting, worse_than_base

STATE_EVERY_S = 1.0  # state.json is synced to disk, so it is not written at each step
# What objectives measure beside the loss, by the trainers' names and by ours
MEASURES = {
    "rewards/accuracies": "rewards_accuracy",
    "rewards/margins": "rewards_margin",
    "rewards/chosen": "rewards_chosen",
    "rewards/rejected": "rewards_rejected",
    "kl": "kl",
    "accuracy": "accuracy",
    "macro_f1": "macro_f1",
}


class Recorder(TrainerCallback):
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
        self.ended_early = False
        self.stopped = False
        self._reason = ""  # why the next checkpoint is saved
        self._step_tokens = 0
        self._step_started = 0.0
        self._step_s = 0.0
        self._last_save = time.monotonic()
        self._last_state = 0.0
        self._evaluations: list[tuple[int, float]] = []
        self._losses: list[tuple[int, float]] = []

    def go_on_from(self, step: int, events: list[Event]) -> None:
        """Takes over what earlier processes recorded, up to the checkpoint's step."""
        self.ended_early = self.is_out_of_patience()
        self._evaluations = [p for p in curve(events, "eval", "eval_loss") if p[0] <= step]
        self._losses = [p for p in curve(events, "step", "loss") if p[0] <= step]

    def saw_tokens(self, count: int) -> None:
        self._step_tokens += count

    # --- called by transformers, in this order within a step ---

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.worker.update(
            "running",
            step=state.global_step,
            steps=state.max_steps,
            best_step=self.progress.best_step,
            best_eval_loss=self.progress.best_eval_loss,
        )

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._step_tokens = 0
        self._step_started = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._step_s = time.monotonic() - self._step_started
        step, last = state.global_step, state.global_step >= state.max_steps
        stop = self.requests.stop_asked()
        if step % self.config.eval.every_steps == 0 or last or self.requests.wants("evaluate"):
            control.should_evaluate = True
        self._decide_to_save(step, last, control)
        if stop and not last:
            self._stop(step, control)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if not logs or "loss" not in logs:
            return
        state.log_history.clear()  # the events hold it; in the checkpoint it would grow and grow
        step, loss, norm = state.global_step, logs["loss"], logs.get("grad_norm")
        for what, value in (("loss", loss), ("gradient", norm)):
            if value is not None and not math.isfinite(value):
                self._step_event(state, logs)
                raise Diverged(step, what, value)
        self.progress.add_step(loss, self._step_tokens, self._step_s)
        self.pace.step(self._step_tokens, self._step_s)
        self._losses.append((step, loss))
        self._step_event(state, logs)
        self._update_state(state)
        if self.requests.wants("sample") and not control.should_evaluate:
            self._samples(step)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any
    ) -> None:
        step = state.global_step
        if metrics and "eval_loss" in metrics:
            self._evaluated(step, metrics, control)
        self.requests.answer("evaluate", "evaluated" if metrics else "no rows are held out")
        if not self.requests.stop_asked():
            self._samples(step)

    def saved(self, folder: Path, manifest: Manifest, seconds: float) -> None:
        """A checkpoint is complete."""
        self.pace.pause(seconds)
        self._last_save = time.monotonic()
        run = self.worker.job.directory
        self.worker.event(
            "checkpoint",
            step=manifest.step,
            directory=str(folder.relative_to(run)),
            bytes=manifest.bytes,
            seconds=round(seconds, 3),
            reason=self._reason,
        )
        self.requests.answer("checkpoint", f"saved {folder.name}")
        self.requests.answer("stop", f"saved {folder.name}, stopped")
        checkpoints.prune(run, self.config.checkpoint.keep, self.progress.best_step)

    def not_saved(self, step: int, error: OSError) -> None:
        """A checkpoint could not be written; the run goes on."""
        self._last_save = time.monotonic()
        reason = error.strerror or str(error)
        self.finding(
            Finding(
                "error",
                f"The checkpoint at step {step} could not be saved: {reason}.",
                "Free disk space; the next one is tried as planned.",
            ),
            step,
        )
        self.requests.answer("checkpoint", f"not saved: {reason}")
        self.requests.answer("stop", f"not saved: {reason}; stopped")

    # --- decisions ---

    def finding(self, finding: Finding, step: int | None) -> None:
        self.worker.event(
            "finding",
            severity=finding.severity,
            message=finding.message,
            hint=finding.hint,
            step=step,
        )

    def final_findings(self, step: int) -> None:
        """What is worth telling once the last step is done."""
        if finding := worse_than_base(self._evaluations):
            self.finding(finding, step)

    def _decide_to_save(self, step: int, last: bool, control: Any) -> None:
        every = self.config.checkpoint.every_minutes
        waited_s = time.monotonic() - self._last_save
        if last:
            self._reason = "end"
        elif self.requests.wants("checkpoint"):
            self._reason = "request"
        elif step % self.config.checkpoint.every_steps == 0:
            self._reason = "interval"
        elif every is not None and waited_s >= every * 60:
            self._reason = "time"
        else:
            return
        control.should_save = True

    def _stop(self, step: int, control: Any) -> None:
        self._reason = "stop"
        self.stopped = True
        control.should_save = control.should_training_stop = True
        control.should_evaluate = False
        self.worker.update("stopping", step=step)

    def _evaluated(self, step: int, metrics: dict[str, float], control: Any) -> None:
        eval_loss, seconds = metrics["eval_loss"], metrics["eval_seconds"]
        self.pace.pause(seconds)
        if not math.isfinite(eval_loss):
            raise Diverged(step, "eval loss", eval_loss)
        best = self.progress.add_evaluation(step, eval_loss)
        self._evaluations.append((step, eval_loss))
        self.worker.event(
            "eval",
            step=step,
            eval_loss=eval_loss,
            seconds=round(seconds, 3),
            best=best,
            **_measures(metrics),
        )
        if best:
            self.worker.update(step=step, best_step=step, best_eval_loss=eval_loss)
        if finding := overfitting(self._evaluations, self._losses):
            self.finding(finding, step)
        if best and self._keeps_the_best() and not control.should_save:
            self._reason = "best"
            control.should_save = True
        if self.is_out_of_patience():
            control.should_training_stop = True
            self.ended_early = True
            if not control.should_save:
                self._reason, control.should_save = "end", True

    def is_out_of_patience(self) -> bool:
        """Whether early stopping is wanted and too many evaluations were no better."""
        patience = self.config.checkpoint.early_stopping_patience
        return patience is not None and self.progress.evaluations_since_best >= patience

    def _keeps_the_best(self) -> bool:
        """An adapter is small; a whole model is saved out of turn only if the end depends on it."""
        patience = self.config.checkpoint.early_stopping_patience
        return self.config.method.kind != "full" or patience is not None

    # --- events ---

    def _step_event(self, state: Any, logs: dict[str, float]) -> None:
        self.worker.event(
            "step",
            step=state.global_step,
            steps=state.max_steps,
            epoch=round(float(state.epoch or 0.0), 4),
            loss=logs["loss"],
            learning_rate=logs.get("learning_rate"),
            grad_norm=logs.get("grad_norm"),
            tokens=self.progress.tokens,
            tokens_per_s=round(self.pace.tokens_per_s, 1),
            eta_s=_rounded(self.pace.eta_s(state.max_steps - state.global_step)),
            **_measures(logs),
        )

    def _update_state(self, state: Any) -> None:
        now = time.monotonic()
        if now - self._last_state < STATE_EVERY_S and state.global_step < state.max_steps:
            return
        self._last_state = now
        self.worker.update(step=state.global_step)

    def _samples(self, step: int) -> None:
        started = time.monotonic()
        count = self.answer_prompts(step)
        self.pace.pause(time.monotonic() - started)
        if count:
            self.worker.event("samples", step=step, count=count)
        self.requests.answer(
            "sample", f"{count} samples" if count else "there are no watch prompts"
        )


def _measures(found: dict[str, float]) -> dict[str, float]:
    return {ours: found[name] for name, ours in MEASURES.items() if name in found}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
