"""The batches of a run that take most memory: by their tokens, and by those that are scored."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import nlargest
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy import ndarray

EPOCHS = 3  # whose order of rows is looked at
STREAMED_BATCHES = 100  # of streamed rows, that are looked at


def heaviest_batches(trainer: Any, count: int) -> list[dict[str, Any]]:
    """So many batches as the trainer's loader gives them: the heaviest of those that the run will
    see, the heaviest first; fewer where it has fewer.

    The order of rows follows from the run's seed, so that the batches are its own. They differ in
    the lengths of their documents, as those of the run: memory that is freed in other pieces than
    it is asked for again stays unused.
    """
    loader = trainer.get_train_dataloader()
    if getattr(trainer, "batches", None) is not None:
        batches = islice(iter(loader), STREAMED_BATCHES)
        return nlargest(count, batches, key=lambda batch: batch["input_ids"].numel())
    weights = _weights(trainer)
    padded = not trainer.layout.flat

    def weight(rows: list[int]) -> float:
        chosen = weights[rows]
        return float(chosen.max() * len(rows) if padded else chosen.sum())

    chosen = nlargest(count, _batches(loader), key=weight)
    return [loader.collate_fn([loader.dataset[row] for row in rows]) for rows in chosen]


def _batches(loader: Any) -> Iterator[list[int]]:
    """The rows of each batch, epoch by epoch."""
    for epoch in range(EPOCHS):
        if hasattr(loader, "set_epoch"):
            loader.set_epoch(epoch)
        yield from (list(rows) for rows in loader.batch_sampler)


def _weights(trainer: Any) -> ndarray:
    """Bytes that each row takes in the step, by its tokens and those that are scored. (rows,)"""
    import numpy

    from core.plan.memory import token_bytes
    from core.plan.model_shape import read_shape
    from core.train.loader.sampler import lengths_of

    dataset, setup = trainer.train_dataset, trainer.setup
    shape = read_shape(setup.base)
    activations, logits = token_bytes(shape, setup.config, setup.precision.autocast)
    lengths = lengths_of(dataset)
    if "labels" not in dataset.column_names:
        return lengths * float(activations)
    edges = numpy.concatenate([[0], numpy.cumsum(_lengths(dataset, "labels"))])
    scored = numpy.concatenate([[0], numpy.cumsum(_flat(dataset, "labels") != -100)])
    return lengths * float(activations) + (scored[edges[1:]] - scored[edges[:-1]]) * float(logits)


def _lengths(dataset: Any, column: str) -> ndarray:
    import numpy

    return numpy.diff(_offsets(dataset, column))


def _offsets(dataset: Any, column: str) -> ndarray:
    import numpy

    ends, start = [numpy.zeros(1, "int64")], 0
    for chunk in dataset.data.column(column).chunks:
        offsets = numpy.asarray(chunk.offsets, dtype="int64")
        ends.append(offsets[1:] - offsets[0] + start)
        start = int(ends[-1][-1]) if len(ends[-1]) else start
    return numpy.concatenate(ends)


def _flat(dataset: Any, column: str) -> ndarray:
    import numpy

    chunks = dataset.data.column(column).chunks
    return numpy.concatenate([chunk.flatten().to_numpy(zero_copy_only=False) for chunk in chunks])
