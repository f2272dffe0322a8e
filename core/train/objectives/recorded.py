"""What every trainer of Afina has: its own evaluation, checkpoints and count of tokens.

A mixin before a trainer of TRL or transformers. What happens at which step is decided in
core/train/callback.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import PeftModel

from core.train.checkpoint import manifest as checkpoints
from core.train.checkpoint import readback
from core.train.checkpoint.result import copy_companions
from core.train.loader.feeding import FeedingTrainer
from core.train.model import adapters, attention, load_weights
from core.train.optim.stepping import SteppingTrainer
from core.train.release import give_back

if TYPE_CHECKING:
    from core.train.build import Layout
    from core.train.callback import RunCallback
    from core.train.setup import Setup


class Interrupted(Exception):
    """A stop was asked for in the middle of an evaluation, which is given up."""


class RecordedTrainer(FeedingTrainer, SteppingTrainer):
    """Trains one run."""

    interruptible = True  # whether a stop ends an evaluation
    aux_loss_enabled = False  # of experts' routing, which TRL's trainers add where a model has it

    def __init__(self, setup: Setup, layout: Layout, callback: RunCallback, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.setup = setup
        self.layout = layout
        self.callback = callback
        self.prepare_steps()

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        self.callback.saw_tokens(real_tokens(inputs))
        return super().training_step(model, inputs, *args, **kwargs)

    def measure(self) -> dict[str, Any]:
        """The eval_loss over the held-out rows, and what else the objective is judged by."""
        raise AssertionError("a trainer measures in its own way")

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Measures the held-out rows.

        The generators stay as they were, so that evaluating more or less often changes no training.
        """
        metrics: dict[str, Any] = {}
        state = torch.get_rng_state()
        started = time.monotonic()
        training = self.model.training
        try:
            if self.eval_dataset is not None:
                self.model.eval()
                with torch.no_grad(), self.plain_loss():
                    metrics = self.measure()
                metrics["eval_seconds"] = time.monotonic() - started
        except Interrupted:
            metrics = {}
        finally:
            self.model.train(training)
            torch.set_rng_state(state)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    @contextmanager
    def plain_loss(self) -> Iterator[None]:
        """The loss as evaluations measure it: of the rows alone, neither smoothed nor balanced.

        So it compares between runs, and doesn't depend on the size of a batch.
        """
        balanced, self.aux_loss_enabled = self.aux_loss_enabled, False
        try:
            yield
        finally:
            self.aux_loss_enabled = balanced

    def eval_batches(self) -> Iterator[dict[str, Any]]:
        """The held-out rows on the device; raises Interrupted once a stop is asked for."""
        for batch in self.get_eval_dataloader():
            if self.interruptible and self.callback.requests.stop_asked():
                raise Interrupted
            yield self._prepare_inputs(batch)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Writes a checkpoint with its manifest; a disk that is full costs the checkpoint only."""
        step = self.state.global_step
        if not self.callback.has_room(step):
            return
        folder = checkpoints.step_folder(self.setup.run, step)
        started = time.monotonic()
        try:
            manifest = checkpoints.write(
                folder, step, self._save_all, self.callback.progress.to_values()
            )
        except OSError as error:
            self.callback.not_saved(step, error)
            return
        self.callback.saved(folder, manifest, time.monotonic() - started)

    def _save_all(self, folder: Path) -> None:
        self.save_weights(folder)
        self._save_optimizer_and_scheduler(str(folder))
        self._save_rng_state(str(folder))
        self.state.save_to_json(str(folder / "trainer_state.json"))
        copy_companions(self.setup, folder)
        readback.check(folder, self)

    def save_weights(self, folder: Path) -> None:
        """The adapter, or every weight of a fully tuned model, as safetensors."""
        give_back()  # safetensors copies what it writes
        model = self.accelerator.unwrap_model(self.model)
        if isinstance(model, PeftModel):
            adapters.save(model, folder)
        else:
            with self.plain_attention():  # the name of ours means nothing to who loads it
                model.save_pretrained(str(folder))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if isinstance(self.model, PeftModel):
            adapters.load(self.model, Path(resume_from_checkpoint))
        else:
            load_weights.load(
                self.accelerator.unwrap_model(self.model), Path(resume_from_checkpoint)
            )

    def plain_attention(self) -> AbstractContextManager[None]:
        """The attention that the model was loaded with, for generation with a cache."""
        model = self.accelerator.unwrap_model(self.model)
        return attention.implementation(model, self.layout.plain_attention)


def real_tokens(inputs: dict[str, Any]) -> int:
    """Tokens of a batch that are not padding."""
    if "attention_mask" in inputs:
        return int(inputs["attention_mask"].sum())
    return inputs["input_ids"].numel()
