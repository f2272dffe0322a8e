"""Choosing the next token. All backends share it, so that a seed means the same for each."""

from __future__ import annotations

import numpy as np

from core.chat.protocol import Sampling
from core.errors import AfinaError

# Relative to the likeliest token's weight. Sorting a whole vocabulary takes longer than a small
# model takes for a token, and the nucleus seldom needs what lies below.
FLOOR = 1e-4


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
        weights = np.exp((logits - logits.max()) / np.float32(self.sampling.temperature))
        ids = self._candidates(weights)
        edges = (weights if ids is None else weights[ids]).cumsum(dtype=np.float64)
        place = int(np.searchsorted(edges, self._random.random() * edges[-1], side="right"))
        place = min(place, len(edges) - 1)
        return place if ids is None else int(ids[place])

    def _candidates(self, weights: np.ndarray) -> np.ndarray | None:
        """The ids that can be drawn; None: all of them."""
        top_k, top_p = self.sampling.top_k, self.sampling.top_p
        ids = None
        if 0 < top_k < len(weights):
            ids = _largest(weights, top_k)
        if top_p < 1:
            ids = _nucleus(weights, top_p) if ids is None else ids[_nucleus(weights[ids], top_p)]
        return ids


def _largest(weights: np.ndarray, count: int) -> np.ndarray:
    """The ids of the `count` largest weights; of equal ones those that come first."""
    last = np.partition(weights, -count)[-count]
    above, equal = np.flatnonzero(weights > last), np.flatnonzero(weights == last)
    return np.concatenate([above, equal[: count - len(above)]])


def _nucleus(weights: np.ndarray, top_p: float) -> np.ndarray:
    """The fewest ids that hold `top_p` of the weight (arXiv 1904.09751), likeliest first."""
    wanted = weights.sum(dtype=np.float64) * top_p
    ids, edges = _ranked(weights, FLOOR)
    if edges[-1] < wanted:
        ids, edges = _ranked(weights, 0.0)
    return ids[: int(np.searchsorted(edges, wanted)) + 1]


def _ranked(weights: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """The ids of the weights from `floor` on, largest first, and the sums up to each of them."""
    ids = np.flatnonzero(weights >= floor)
    ids = ids[np.argsort(-weights[ids], kind="stable")]
    return ids, weights[ids].cumsum(dtype=np.float64)
