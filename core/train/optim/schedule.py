"""The learning rate as torch steps it, along the course that core/plan/lr_schedule.py gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.config import Config
from core.plan.lr_schedule import course

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LambdaLR


def scheduler(optimizer: Optimizer, config: Config, steps: int) -> LambdaLR:
    """torch's scheduler along the course; loaded from a checkpoint it keeps this run's peak.

    A checkpoint holds the peak that it was saved under. A run that goes on with a lower one means
    the lower one.
    """
    from torch.optim.lr_scheduler import LambdaLR

    share = course(config, steps)

    class Schedule(LambdaLR):
        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            peaks = self.base_lrs
            super().load_state_dict(state_dict)
            self.base_lrs = peaks
            self._last_lr = [peak * share(self.last_epoch) for peak in peaks]
            for group, peak, rate in zip(
                self.optimizer.param_groups, peaks, self._last_lr, strict=True
            ):
                group["initial_lr"], group["lr"] = peak, rate

    return Schedule(optimizer, share)
