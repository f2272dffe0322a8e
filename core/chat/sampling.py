"""Choosing the next token. All backends share it, so that a seed means the same for each."""

from __future__ import annotations

import numpy as np

from core.chat.protocol import Sampling
from core.errors import AfinaError

POOL = (
    1024  # tokens that are sorted first: the nucleus seldom holds more, and a vocabulary is large
)


class Sampler:
    """Draws tokens for one answer."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self._random = np.random.default_rng(sampling.seed)

    def pick(self, logits: np.ndarray) -> int:
        """One token id from f32 (vocabulary,). Raises AfinaError when the model is broken."""
        if not np.isfinite(logits.max()):
            raise AfinaError(
                "The model's output is not a number.",
                "Its weights are damaged or its training diverged; use an earlier checkpoint.",
            )
        if self.sampling.temperature == 0:
            return int(logits.argmax())
        ids, weights = self._candidates(logits)
        edges = weights.cumsum()
        place = np.searchsorted(edges, self._random.random() * edges[-1], side="right")
        return int(ids[min(place, len(ids) - 1)])

    def _candidates(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The tokens that can be drawn, likeliest first, with their weights."""
        scaled = logits.astype(np.float64) / self.sampling.temperature
        weights = np.exp(scaled - scaled.max())
        count = min(self.sampling.top_k or len(weights), len(weights))
        if self.sampling.top_p == 1:
            ids = _largest(weights, count)
            return ids, weights[ids]
        total = weights.sum() if count == len(weights) else weights[_largest(weights, count)].sum()
        wanted = self.sampling.top_p * total
        ids = _largest(weights, min(POOL, count))
        edges = weights[ids].cumsum()
        if edges[-1] < wanted:
            ids = _largest(weights, count)
            edges = weights[ids].cumsum()
        kept = int(np.searchsorted(edges, wanted)) + 1  # the one that crosses the line included
        return ids[:kept], weights[ids[:kept]]


def _largest(weights: np.ndarray, count: int) -> np.ndarray:
    """The ids of the `count` largest weights, largest first."""
    ids = np.arange(len(weights))
    if count < len(weights):
        ids = np.sort(np.argpartition(-weights, count - 1)[:count])
    return ids[np.argsort(-weights[ids], kind="stable")]
