"""What a model expects at the tokens of a text, kept on disk, and how far two models are apart.

log p is kept in 16 bits, as llama.cpp's perplexity tool does: off by a 2000th of itself at most. In
the sum that `divergences` takes, that cancels to first order where the models agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from core.chat.client import ModelClient

if TYPE_CHECKING:
    import numpy as np

BLOCK = 64  # places that are compared at once; some 40 MB for each of them at 150k tokens


class Passage(msgspec.Struct, frozen=True):
    """Tokens that are read, and the places among them where models are compared."""

    ids: list[int]
    places: list[int]  # ascending, from 1 on: the first token is expected by nothing

    @property
    def tokens(self) -> list[int]:
        """Those that stand at the places."""
        return [self.ids[place] for place in self.places]

    def cut(self, length: int, window: int) -> Passage | None:
        """Its start: at most `length` ids, and `window` of them from the first place on.

        None where no place is left.
        """
        end = min(length, self.places[0] + window, self.places[-1] + 1)
        places = [place for place in self.places if place < end]
        return Passage(self.ids[:end], places) if places else None


class Expected(NamedTuple):
    """What one model expects at the places of a passage, in nats."""

    log_p: np.ndarray  # (places, vocabulary): f32, or f16 from the disk
    own: np.ndarray  # f32 (places,): of the tokens that stand there

    def keep(self, path: Path) -> None:
        import numpy as np

        with open(path, "wb") as file:
            np.savez(file, log_p=self.log_p.astype(np.float16), own=self.own)

    @classmethod
    def kept(cls, path: Path) -> Expected:
        import numpy as np

        with np.load(path) as arrays:
            return cls(arrays["log_p"], arrays["own"])


class Carried:
    """How far a model goes along the way from one model to another: 1 all of it, 0 none.

    At each place the changes of log p are compared, weighed by what those two think likely: noise
    that has nothing to do with the way leaves the share near 1, a wrong scale changes it.
    """

    def __init__(self) -> None:
        self._along = self._whole = 0.0  # sums of products of changes, nats²

    def add(self, base: Expected, tuned: Expected, other: Expected) -> None:
        import numpy as np

        for log_b, log_t, log_q in _blocks(base, tuned, other):
            weight = (np.exp(log_b) + np.exp(log_t)) / 2
            weight /= weight.sum(axis=-1, keepdims=True)
            step, here = log_t - log_b, log_q - log_b
            step -= np.sum(weight * step, axis=-1, keepdims=True)
            weight *= step
            self._along += float(np.sum(weight * here))
            self._whole += float(np.sum(weight * step))

    @property
    def share(self) -> float | None:
        """None where the two don't differ."""
        return self._along / self._whole if self._whole > 0 else None


def expected(client: ModelClient, passage: Passage, path: Path, adapter: bool = True) -> Expected:
    """Lets a model read a passage; all it expects comes by way of a file at `path`."""
    import numpy as np

    first = passage.places[0]
    client.log_probs(passage.ids, first, adapter=adapter, path=str(path))
    every = np.load(path, mmap_mode="r")  # its row k is over the token at first + k
    log_p = every[[place - first for place in passage.places]]
    return Expected(log_p, log_p[np.arange(len(log_p)), passage.tokens])


def divergences(p: Expected, q: Expected) -> np.ndarray:
    """KL(p || q) at each place, nats: f32 (places,), none of them below 0.

    Summed as p (log p - log q) - p + q, which is the same for probabilities that sum to 1.
    """
    import numpy as np

    found = [np.empty(0, np.float32)]
    for log_p, log_q in _blocks(p, q):
        found.append(np.sum(np.exp(log_p) * (log_p - log_q - 1), axis=-1) + 1)
    return np.maximum(np.concatenate(found), 0.0)


def _blocks(*several: Expected) -> Iterator[tuple[np.ndarray, ...]]:
    """log p of each, f32, a few places at a time."""
    import numpy as np

    for begin in range(0, len(several[0].own), BLOCK):
        yield tuple(
            each.log_p[begin : begin + BLOCK].astype(np.float32, copy=False) for each in several
        )
