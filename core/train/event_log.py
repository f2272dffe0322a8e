"""The events and the state of a run, in the words of docs/events.md."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from core.jobs import JobWorker
from core.runs.finding import Finding
from core.train.checkpoint.manifest import Manifest
from core.train.checkpoint.progress import Pace, Progress
from core.train.loader.stream import Laying

if TYPE_CHECKING:
    from core.train.loader.dataset import Encoded
    from core.train.objectives.recorded import RecordedTrainer

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
    "confusion": "confusion",
    "custom_loss": "custom_loss",
    "nll_loss": "nll_loss",
    "log_odds_ratio": "log_odds_ratio",
}


class StepTimes(msgspec.Struct):
    """Of the step at hand."""

    tokens: int = 0
    seconds: float = 0.0  # the wait for its batches included
    waited_s: float = 0.0


class EventLog:
    """Writes what a run says of its steps."""

    def __init__(self, worker: JobWorker, progress: Progress, pace: Pace) -> None:
        self.worker = worker
        self.progress = progress
        self.pace = pace
        self._last_state = 0.0

    def begin(self, state: Any) -> None:
        self.worker.update(
            "running",
            step=state.global_step,
            steps=state.max_steps,
            best_step=self.progress.best_step,
            best_eval_loss=self.progress.best_eval_loss,
        )

    def step(self, state: Any, logs: dict[str, float], times: StepTimes) -> None:
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
            step_s=round(times.seconds, 4),
            data_wait_s=round(times.waited_s, 4),
            eta_s=_rounded(self.pace.eta_s(state.max_steps - state.global_step)),
            **_measures(logs),
        )

    def state(self, state: Any) -> None:
        """Writes how far it is, now and then."""
        now = time.monotonic()
        if now - self._last_state >= STATE_EVERY_S or state.global_step >= state.max_steps:
            self._last_state = now
            self.worker.update(step=state.global_step)

    def evaluated(self, step: int, metrics: dict[str, Any], best: bool) -> None:
        self.worker.event(
            "eval",
            step=step,
            eval_loss=metrics["eval_loss"],
            seconds=round(metrics["eval_seconds"], 3),
            best=best,
            **_measures(metrics),
        )
        if best:
            self.worker.update(step=step, best_step=step, best_eval_loss=metrics["eval_loss"])

    def saved(self, folder: Path, manifest: Manifest, seconds: float, reason: str) -> None:
        self.worker.event(
            "checkpoint",
            step=manifest.step,
            directory=str(folder.relative_to(self.worker.job.directory)),
            bytes=manifest.bytes,
            seconds=round(seconds, 3),
            reason=reason,
        )

    def finding(self, finding: Finding, step: int | None) -> None:
        tell(self.worker, finding, step)


def tell(worker: JobWorker, finding: Finding, step: int | None) -> None:
    """A finding as an event; step is None before the first one."""
    worker.event("finding", **msgspec.structs.asdict(finding), step=step)


def tell_plan(
    worker: JobWorker, trainer: RecordedTrainer, encoded: Encoded, parameters: int
) -> int:
    """What will be trained, on what, in how many steps; returns these.

    parameters: those of the base model, without an adapter.
    """
    import torch

    setup, layout = trainer.setup, trainer.layout
    config, precision = setup.config, setup.precision
    batches, steps = _lengths(trainer, encoded)
    worker.event(
        "plan",
        parameters=parameters,
        trainable=sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        continues=config.model.continue_from,
        method=config.method.kind,
        quantization=config.method.quantization,
        optim=config.train.optim,
        objective=encoded.objective,
        classes=[str(label) for label in encoded.classes] or None,
        rows=encoded.rows,
        eval_rows=len(encoded.evaluation),
        tokens_per_epoch=encoded.tokens,
        supervised_tokens=encoded.supervised_tokens,
        estimated=encoded.streamed is not None,  # rows, tokens, and the steps of an epoch
        steps=steps,
        steps_per_epoch=-(-batches // config.train.gradient_accumulation_steps),
        device=precision.device,
        dtype=precision.dtype,
        dtype_gain=precision.gain,
        threads=torch.get_num_threads(),
        packed=layout.packed,
        filled=trainer.filled_share() if encoded.streamed is None else None,
        attention=layout.attention,
    )
    return steps


def _lengths(trainer: RecordedTrainer, encoded: Encoded) -> tuple[int, int]:
    """(batches of an epoch, steps of the whole run)"""
    loader = trainer.get_train_dataloader()
    steps = trainer.set_initial_training_values(trainer.args, loader)[6]
    if encoded.streamed is None:
        return len(loader), steps
    length, rows = trainer.setup.config.data.max_length, trainer.args.per_device_train_batch_size
    return encoded.streamed.batches(Laying(length, rows, trainer.layout.packed)), steps


def _measures(found: dict[str, Any]) -> dict[str, Any]:
    return {ours: found[name] for name, ours in MEASURES.items() if name in found}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
