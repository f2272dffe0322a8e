"""What a run does by itself when a step can't be done: a smaller micro-batch, or an earlier state.

Each way out is taken once; it ends in `recovery.Again`, and the process begins anew.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import msgspec

from core.config import Config
from core.errors import AfinaError
from core.jobs import JobWorker
from core.runs.finding import Finding
from core.runs.run import Run
from core.train.checkpoint import manifest, rng_state
from core.train.checks.findings import Diverged
from core.train.event_log import tell
from core.train.recovery import overrides
from core.train.recovery.overrides import Again, Recovery

if TYPE_CHECKING:
    from core.train.callback import RunCallback
    from core.train.objectives.recorded import RecordedTrainer


class Retry:
    """The ways out of one run; `frozen` is its configuration without any overrides."""

    def __init__(self, run: Run, worker: JobWorker, frozen: Config) -> None:
        self.run = run
        self.worker = worker
        self.frozen = frozen
        self.taken = overrides.read(run.directory)
        if not worker.again:  # a person resumed it: that is worth another try
            self.taken = msgspec.structs.replace(self.taken, oom_retries=0)

    @property
    def config(self) -> Config:
        """What the run goes on with."""
        return self.taken.apply(self.frozen)

    def after_oom(self, trainer: RecordedTrainer, callback: RunCallback, objective: str) -> None:
        """Raises Again with half the micro-batch; AfinaError where there is no such way.

        The step that failed is begun anew: the state before it is saved, so nothing is lost.
        Returns when the run was asked to end: then that is what is left to do.
        """
        step = trainer.state.global_step
        saved = _save_point(trainer, callback)
        if saved and callback.requests.stop_asked():
            callback.ending = callback.requests.ending
            return
        rows = self.config.train.per_device_train_batch_size
        what = f"The device ran out of memory in step {step + 1}, at a micro-batch of {rows}"
        smaller = self.taken.smaller(self.frozen, least=2 if objective == "kto" else 1)
        if self.taken.oom_retries:
            what += ", which was made smaller once already"
            smaller = None
        if smaller is None:
            raise AfinaError(f"{what}.", overrides.ways_out(self.config))
        train = smaller.apply(self.frozen).train
        hint = (
            f"It goes on with {train.per_device_train_batch_size} in each of "
            f"{train.gradient_accumulation_steps} passes: the rows of a step stay the same."
        )
        self._again(smaller, "oom", step + 1, Finding("warning", f"{what}.", hint))

    def after_divergence(self, error: Diverged, losses: list[tuple[int, float]]) -> None:
        """Raises Again from the last good checkpoint, with half the rate; else AfinaError.

        Returns where the configuration wants the run to stop.
        """
        if self.frozen.train.on_divergence != "rollback":
            return
        if self.taken.rollbacks:
            raise AfinaError(
                f"{error.sentence[:-1]}, again: the run went back once already, to half its "
                "learning rate.",
                "Begin a new run with a much smaller train.learning_rate, or look at the rows.",
            )
        good = manifest.discard_after(self.run.directory, self._good_until(error, losses))
        slower = self.taken.slower()
        rate = slower.apply(self.frozen).train.learning_rate
        place = "the beginning" if good is None else f"step {good}"
        hint = f"The run goes back to {place} and on with a learning rate of {rate:g}."
        self._again(slower, "divergence", error.step, Finding("warning", error.sentence, hint))

    def _good_until(self, error: Diverged, losses: list[tuple[int, float]]) -> int:
        """The newest step whose checkpoint may be trusted."""
        factor = self.frozen.train.spike_factor
        if not error.than or factor is None:
            return error.after
        from core.train.checks.findings import began_to_spike

        return min(error.after, began_to_spike(losses, factor) - 2)

    def _again(self, taken: Recovery, why: str, step: int, finding: Finding) -> None:
        overrides.write(self.run.directory, taken)
        newest = manifest.newest_whole(self.run.directory)[0]
        train = taken.apply(self.frozen).train
        tell(self.worker, finding, step)
        self.worker.event(
            "retry",
            why=why,
            step=step,
            from_step=manifest.step_of(newest) if newest else 0,
            per_device_train_batch_size=train.per_device_train_batch_size,
            gradient_accumulation_steps=train.gradient_accumulation_steps,
            learning_rate=train.learning_rate,
            message=f"{finding.message} {finding.hint}",
        )
        raise Again


def _save_point(trainer: RecordedTrainer, callback: RunCallback) -> bool:
    """Saves the end of the last step; whether the state there is on the disk now.

    Forward and backward leave weights and optimizer as they were; the generators and the place in
    the rows are put back. Not where the optimizer was at work, nor before the first step.
    """
    point, step = callback.point, trainer.state.global_step
    folder = manifest.step_folder(callback.worker.job.directory, step)
    if manifest.read(folder) is not None:
        return True
    if point is None or point.step != step or callback.updating:
        return False
    _let_go(trainer)
    rng_state.put_back(point.rng_state)
    callback.progress.streamed = point.streamed
    callback.saving.reason = "retry"
    try:
        trainer._save_checkpoint(trainer.model, None)
    except (MemoryError, RuntimeError) as error:
        if not overrides.is_out_of_memory(error):
            raise
    return callback.saving.saved_step == step


def _let_go(trainer: RecordedTrainer) -> None:
    """Frees what the failed step held."""
    import torch

    trainer.model.zero_grad(set_to_none=True)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
