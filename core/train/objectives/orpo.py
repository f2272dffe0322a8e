"""Learning answers and preferences at once, without a reference model: ORPO (arXiv 2403.07691).

TRL keeps its trainer under `experimental`, where every row goes through a template and a tokenizer
of its own once more; so the loss is written here on the rows as they are encoded.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import torch
from torch.nn.functional import logsigmoid

from core.train.objectives.dpo import ComparingTrainer, DPOCollator

LN_2 = 0.6931471805599453


class Odds(NamedTuple):
    """What ORPO computes of each pair; (pairs,) each."""

    nll: torch.Tensor  # mean over the chosen answer's tokens
    log_odds_ratio: torch.Tensor
    loss: torch.Tensor


def odds_of(chosen: torch.Tensor, rejected: torch.Tensor, beta: float) -> Odds:
    """The loss of pairs by the mean log-probability of their answers' tokens, (pairs,) each.

    Equations 3 to 7: nll + beta * -log sigmoid(log(odds(chosen) / odds(rejected))), where
    odds(y) = p(y) / (1 - p(y)).
    """
    ratio = (chosen - rejected) - (log_1_minus_exp(chosen) - log_1_minus_exp(rejected))
    return Odds(-chosen, ratio, -chosen - beta * logsigmoid(ratio))


def log_1_minus_exp(x: torch.Tensor) -> torch.Tensor:
    """log(1 - exp(x)) for x <= 0, exact near 0 and far from it (Maechler 2012)."""
    # an answer of probability 1 in float32 would have infinite odds, and a NaN for its gradient
    x = x.clamp(max=-(torch.finfo(x.dtype).tiny ** 0.5))
    near = x > -LN_2
    # each branch gets only what it can bear: where() multiplies the gradient of the other by 0, and
    # 0 times infinity is NaN
    expm1 = torch.log(-torch.expm1(torch.where(near, x, -LN_2)))
    log1p = torch.log1p(-torch.exp(torch.where(near, -LN_2, x)))
    return torch.where(near, expm1, log1p)


class ORPORunTrainer(ComparingTrainer):
    """Odds ratio preference optimization; its model has TRL's fused head (see build)."""

    loss_is_scaled_for_ga = False  # a mean over the pairs of a batch

    def __init__(self, pad_id: int, beta: float, **kwargs: Any) -> None:
        self.collate = DPOCollator(pad_id)
        self.beta = beta
        self._metrics = {"train": defaultdict(list), "eval": defaultdict(list)}
        super().__init__(**kwargs)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> torch.Tensor:
        """The mean over the pairs of a batch, all chosen sides before all rejected ones."""
        odds, chosen, rejected = self._odds(model, inputs)
        found = self._metrics["train" if self.model.training else "eval"]
        rewards = self.beta * chosen.detach(), self.beta * rejected.detach()
        measures = {
            "rewards/chosen": rewards[0],
            "rewards/rejected": rewards[1],
            "rewards/accuracies": (rewards[0] > rewards[1]).float(),
            "rewards/margins": rewards[0] - rewards[1],
            "nll_loss": odds.nll.detach(),
            "log_odds_ratio": odds.log_odds_ratio.detach(),
        }
        for name, values in measures.items():
            found[name].append(float(values.mean()))
        return odds.loss.mean()

    def _odds(
        self, model: Any, inputs: dict[str, torch.Tensor]
    ) -> tuple[Odds, torch.Tensor, torch.Tensor]:
        """The odds of the pairs, and the mean log-probabilities of both sides, (pairs,) each."""
        mask = inputs["completion_mask"]  # (2 * pairs, longest)
        labels = inputs["input_ids"].masked_fill(mask == 0, -100)
        given = {name: value for name, value in inputs.items() if name != "completion_mask"}
        log_probs = model(**given, labels=labels, use_cache=False, fused_lm_head=True).log_probs
        log_probs = log_probs[:, -(labels.shape[1] - 1) :]  # without the tokens of a prompt adapter
        lengths = mask[:, 1:].sum(dim=1).clamp(min=1)
        chosen, rejected = (log_probs.float().sum(dim=1) / lengths).chunk(2)
        return odds_of(chosen, rejected, self.beta), chosen, rejected

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        found = self._metrics["train"]
        logs |= {name: sum(values) / len(values) for name, values in found.items()}
        found.clear()
        super().log(logs, start_time)
