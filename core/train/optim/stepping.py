"""What a step of every trainer has from us: optimizer, schedule, noise on embeddings, operations.

A mixin before transformers' Trainer, under RecordedTrainer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import Trainer

from core.train.mfu import Meter
from core.train.model.neftune import Noise
from core.train.model.precision import peak_flops
from core.train.optim.optimizer import optimizer
from core.train.optim.schedule import scheduler

if TYPE_CHECKING:
    from core.train.callback import RunCallback
    from core.train.setup import Setup


class SteppingTrainer(Trainer):
    """Steps as the configuration says."""

    model: Any  # a model of transformers, under PEFT's wrapper if it has an adapter
    setup: Setup
    callback: RunCallback
    noise: Noise | None = None
    meter: Meter | None = None

    def prepare_steps(self) -> None:
        """To be called once the model is whole; the adapter is part of it."""
        alpha = self.setup.config.train.neftune_noise_alpha
        if alpha is not None:
            self.noise = Noise(alpha)
            self.noise.attach(self.model)
        self.meter = Meter.of_run(self.setup)
        self._trained_before_s = self.callback.progress.train_s

    def mfu(self) -> float | None:
        """What the steps of this process needed, as a share of what the device multiplies."""
        peak = peak_flops(self.setup.precision) if self.meter and self.meter.flops else None
        if self.meter is None or peak is None:
            return None
        return self.meter.mfu(self.callback.progress.train_s - self._trained_before_s, peak)

    def create_optimizer(self, model: Any = None) -> Any:
        if self.optimizer is None:
            model = self.model if model is None else model
            decaying = self.get_decay_parameter_names(model)
            self.optimizer = optimizer(model, self.setup.config, decaying)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        if self.lr_scheduler is None:
            stepped = self.optimizer if optimizer is None else optimizer
            self.lr_scheduler = scheduler(stepped, self.setup.config, num_training_steps)
            self._created_lr_scheduler = True  # Trainer makes a new one for each `train`
        return self.lr_scheduler

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        if self.noise is not None:
            self.noise.look_at(inputs)
        if self.meter is not None:
            self.meter.saw(inputs)
        return super().training_step(model, inputs, *args, **kwargs)
