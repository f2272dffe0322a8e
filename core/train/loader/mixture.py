"""How often each row of a mixture is seen in an epoch: whole passes, and a seeded share of one."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from numpy import ndarray

    from core.data.files.rows import Span


class Drawn(msgspec.Struct, frozen=True):
    """The rows of one epoch: indexes, ascending, and how often each is seen, at least once."""

    rows: Sequence[int]
    times: Sequence[int] | None = None  # None: each once

    def __len__(self) -> int:
        return len(self.rows) if self.times is None else sum(self.times)

    def renumbered(self) -> Drawn:
        """The same, by the place of a row among those that are drawn."""
        return Drawn(range(len(self.rows)), self.times)


def is_plain(spans: Sequence[Span]) -> bool:
    """Whether every row is seen once, so that there is nothing to draw."""
    return all(span.weight == 1.0 for span in spans)


def draw(rows: Sequence[int], spans: Sequence[Span], seed: int) -> Drawn:
    """The rows of every epoch out of `rows` (ascending, those held out are not among them).

    A weight of 2.5 takes each row twice and a seeded half of them a third time.
    """
    import numpy

    if is_plain(spans):
        return Drawn(rows)
    given = numpy.asarray(rows, dtype="int64")
    kept, times = array("q"), array("q")
    for place, span in enumerate(spans):
        first, last = numpy.searchsorted(given, (span.start, span.end))
        counts = repeats(int(last - first), span.weight, (seed, place))
        seen = counts > 0
        kept.frombytes(given[first:last][seen].tobytes())
        times.frombytes(counts[seen].tobytes())
    return Drawn(kept, times)


def repeats(count: int, weight: float, seed: tuple[int, ...], epoch: int = 0) -> ndarray:
    """How often each of `count` things is seen in an epoch. (count,), int64

    The share that is not whole moves on from epoch to epoch: two halves are different ones.
    """
    import numpy

    whole = int(weight)
    part = round((weight - whole) * count)
    if not whole and count:
        part = max(1, part)  # a file that was named is never left out
    counts = numpy.full(count, whole, dtype="int64")
    order = numpy.random.default_rng(seed).permutation(count)
    chosen = (numpy.arange(part) + epoch * part) % max(count, 1)
    counts[order[chosen]] += 1
    return counts
