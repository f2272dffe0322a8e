"""The end of a run's process: stopped or paused with its state saved, or done with its result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from core.disk import reason_of, takes_no_more
from core.hardware import read_device
from core.jobs import JobWorker
from core.runs.finding import Finding
from core.runs.run import Run
from core.train.checkpoint import manifest
from core.train.checkpoint.progress import Progress
from core.train.checks import verify
from core.train.checks.findings import lost_in_saving
from core.train.loader import stream_estimate
from core.train.memory import peak_bytes
from core.train.setup import Setup

if TYPE_CHECKING:
    from core.train.callback import RunCallback
    from core.train.objectives.recorded import RecordedTrainer


class Ending:
    """Says how a run's process ended. `phase` tells of what it does now."""

    def __init__(
        self,
        run: Run,
        worker: JobWorker,
        parts: tuple[Setup, RecordedTrainer, RunCallback],
        phase: Callable[[str], None],
    ) -> None:
        self.run = run
        self.worker = worker
        self.setup, self.trainer, self.callback = parts
        self.phase = phase

    def finish(self, step: int, resumed: Path | None) -> int:
        """Saves and verifies the result of a run that came to its end, else says where it stands.

        The weights are the trainer's, those of a checkpoint that was the end already, or the best
        ones where early stopping ended the run. Returns the exit code.
        """
        if self.callback.ending:
            self._result_event(self.callback.ending, step)
            self.worker.update(self.callback.ending, step=step, reason=self._why_ending(step))
            return 0
        from core.train.checkpoint import result

        weights = (self._best(step) if self.callback.ended_early else None) or resumed
        self.phase("saving result")
        try:
            folder = result.save(self.setup, self.trainer, self.callback.progress, step, weights)
        except OSError as error:
            if not takes_no_more(error):
                raise
            return self._pause_without_result(step, error)
        self._prove(folder, step, weights)
        self.callback.final_findings(step)
        for finding in stream_estimate.findings(self.callback.progress.streamed):
            self.callback.finding(finding, step)
        reason = self._why_early(step) if self.callback.ended_early else ""
        self._result_event("done", step)
        self.worker.update("done", step=step, reason=reason)
        return 0

    def _prove(self, folder: Path, step: int, weights: Path | None) -> None:
        """Raises AfinaError when the result isn't what the run reported."""
        self.phase("proving result")
        whose = step if weights is None else manifest.step_of(weights)
        claim = verify.Claim(folder, whose, weights, self.run.events())
        proven = verify.prove(self.setup, self.trainer, claim)
        self.worker.event("proof", **msgspec.structs.asdict(proven))
        if not (self.setup.full and self.setup.precision.autocast):
            return
        held_out: Any = self.trainer.eval_dataset
        if held_out is not None and proven.rows == len(held_out):  # as the loss before was measured
            before = self.callback.loss_before
            if finding := lost_in_saving(before, proven.reported, proven.eval_loss):
                self.callback.finding(finding, step)

    def _why_ending(self, step: int) -> str:
        word = "Stopped" if self.callback.ending == "stopped" else "Paused"
        if self.callback.saving.trouble:
            return f"{word} at step {step}. {self.callback.saving.trouble}. {self._way_on()}"
        return f"{word} at step {step}; resumable."

    def _way_on(self) -> str:
        newest, _ = manifest.newest_whole(self.run.directory)
        place = newest.name if newest else "the beginning"
        return f"Free some space, then resume: it goes on from {place}."

    def _pause_without_result(self, step: int, error: OSError) -> int:
        self._result_event("paused", step)
        reason = f"The result could not be saved: {reason_of(error)}. {self._way_on()}"
        self.worker.update("paused", step=step, reason=reason)
        return 0

    def _best(self, step: int) -> Path | None:
        """The checkpoint of the best weights; None, with a finding, when it can't be had."""
        best = self.callback.progress.best_step
        if best is None or best == step:
            return None
        folder = manifest.step_folder(self.run.directory, best)
        harm = manifest.damage(folder)
        if harm is None:
            return folder
        self.callback.finding(
            Finding(
                "warning",
                f"The best weights, of step {best}, can't be had: {harm}.",
                f"The result has those of step {step}.",
            ),
            step,
        )
        return None

    def _why_early(self, step: int) -> str:
        progress = self.callback.progress
        best = f"{progress.best_eval_loss:.4f} at step {progress.best_step}"
        return f"Ended early at step {step}: no eval loss was better than {best}."

    def _result_event(self, state: str, steps: int) -> None:
        progress: Progress = self.callback.progress
        device = self.setup.precision.device
        self.worker.event(
            "result",
            run=self.run.id,
            directory=str(self.run.directory),
            state=state,
            steps=steps,
            tokens=progress.tokens,
            train_s=round(progress.train_s, 3),
            tokens_per_s=progress.tokens_per_s,
            data_wait_share=progress.data_wait_share,
            train_loss=progress.train_loss,
            eval_loss=progress.eval_loss,
            device_name=read_device(device).name,
            peak_bytes=peak_bytes(device),
            mfu=self.trainer.mfu(),
        )
