"""The order of rows that are padded: batches of rows of like length, another order each epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from torch.utils.data import Sampler

if TYPE_CHECKING:
    from datasets import Dataset
    from numpy import ndarray

# Batches that are filled from rows sorted together, and groups of them at least, so that no two
# epochs have the same batches. Of 10,000 log-normal chats in batches of 8, 96 % is real then, and
# 90 % with the 50 batches of transformers' group_by_length
GROUPED_BATCHES, LEAST_GROUPS = 200, 2


class LengthSampler(Sampler[int]):
    """Rows of a seeded random order, sorted by length within groups; then whole batches shuffled.

    The order follows from lengths, seed and epoch alone, so a resumed epoch has the order that it
    had. The batch with the longest row comes first: what doesn't fit fails at the first step. Rows
    that don't fill a batch come last.
    """

    def __init__(self, lengths: Sequence[int] | ndarray, batch_rows: int, seed: int) -> None:
        import numpy

        self.lengths = numpy.asarray(lengths)
        self.batch_rows = batch_rows
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        return iter(self.order(self.epoch).tolist())

    def order(self, epoch: int) -> ndarray:
        """The rows of an epoch, counted from 0. (rows,), int64"""
        import numpy

        draw = numpy.random.default_rng((self.seed, epoch))
        rows = draw.permutation(len(self.lengths))
        whole = len(rows) // self.batch_rows * self.batch_rows
        batches = len(rows) // self.batch_rows
        together = max(1, min(GROUPED_BATCHES, batches // LEAST_GROUPS)) * self.batch_rows
        for start in range(0, whole, together):
            group = rows[start : min(start + together, whole)]
            group[:] = group[numpy.argsort(-self.lengths[group], kind="stable")]
        if not batches:
            return rows
        table = rows[:whole].reshape(batches, self.batch_rows)
        longest = self.lengths[table].max(axis=1)
        order = draw.permutation(batches)
        first = int(numpy.argmax(longest[order]))
        order[[0, first]] = order[[first, 0]]
        return numpy.concatenate([table[order].ravel(), rows[whole:]])


class Longest(Sampler[int]):
    """Rows by length, the longest first: for evaluations, whose order changes no mean."""

    def __init__(self, lengths: ndarray) -> None:
        self.lengths = lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        import numpy

        return iter(numpy.argsort(-self.lengths, kind="stable").tolist())


def lengths_of(dataset: Dataset) -> ndarray:
    """Tokens of each row as it is padded: of a pair, those of its longer side. (rows,), int64"""
    import numpy

    sides = [name for name in ("input_ids", "rejected_input_ids") if name in dataset.column_names]
    return numpy.max([_lengths(dataset, name) for name in sides], axis=0)


def _lengths(dataset: Dataset, column: str) -> ndarray:
    import numpy

    chunks: Any = dataset.data.column(column).chunks
    parts = [numpy.diff(chunk.offsets.to_numpy()) for chunk in chunks]
    return numpy.concatenate(parts).astype("int64") if parts else numpy.zeros(0, "int64")


def filled_share(dataset: Dataset, order: Sequence[int] | ndarray, batch_rows: int) -> float:
    """Real tokens among those of an epoch's padded batches; both sides of a pair count."""
    import numpy

    longest = lengths_of(dataset)[numpy.asarray(order, dtype="int64")]
    if not len(longest):
        return 1.0
    starts = numpy.arange(0, len(longest), batch_rows)
    rows = numpy.diff(numpy.append(starts, len(longest)))
    sides = [name for name in ("input_ids", "rejected_input_ids") if name in dataset.column_names]
    padded = int((numpy.maximum.reduceat(longest, starts) * rows).sum()) * len(sides)
    return sum(int(_lengths(dataset, name).sum()) for name in sides) / padded
