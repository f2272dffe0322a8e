"""Muon for the matrices inside the blocks and AdamW for the rest, as one optimizer.

The trainer, its scheduler and a checkpoint know one optimizer with one state. Muon's step is
scaled to the size of AdamW's, so that one learning rate and one decay fit both (arXiv 2502.16982,
2.2); embeddings, head, norms and biases stay with AdamW (2.2 there too).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import AdamW, Muon, Optimizer

from core.train.optim.optimizer import BETAS, EPSILON


class MuonWithAdamW(Optimizer):
    """Steps each of its groups with the optimizer that the group's key "muon" names."""

    def __init__(
        self,
        groups: list[dict[str, Any]],
        matrices: Iterable[torch.nn.Parameter],
        lr: float,
        weight_decay: float,
    ) -> None:
        chosen = {id(parameter) for parameter in matrices}
        super().__init__(
            [
                {**group, "params": part, "muon": muon}
                for group in groups
                for muon in (True, False)
                if (part := [p for p in group["params"] if (id(p) in chosen) == muon])
            ],
            {"lr": lr, "weight_decay": weight_decay},
        )
        self._link()

    def _link(self) -> None:
        """Gives both optimizers the groups and the state of this one, which they share."""
        parts = []
        for muon in (True, False):
            groups = [group for group in self.param_groups if group["muon"] == muon]
            if not groups:
                continue
            kind: Callable[..., Optimizer] = _muon if muon else _adamw
            part = kind(groups)
            part.param_groups, part.state = groups, self.state
            parts.append(part)
        self._parts = parts

    def __setstate__(self, state: dict[str, Any]) -> None:
        """What torch calls when a state is loaded: the groups and the state are new objects."""
        super().__setstate__(state)
        self._link()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of every group."""
        assert closure is None, "no trainer of ours asks for the loss again"
        for part in self._parts:
            part.step()
        return None


def _muon(groups: list[dict[str, Any]]) -> Optimizer:
    return Muon(groups, adjust_lr_fn="match_rms_adamw")


def _adamw(groups: list[dict[str, Any]]) -> Optimizer:
    return AdamW(groups, betas=BETAS, eps=EPSILON, fused=True)
