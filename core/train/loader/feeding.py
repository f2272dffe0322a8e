"""What a trainer takes of the feed: batches made ahead, the wait for them, the order of rows.

A mixin before transformers' Trainer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from transformers import Trainer

from core.train.loader.prefetch import Prefetch
from core.train.loader.sampler import LengthSampler, Longest, filled_share, lengths_of
from core.train.loader.stream_batches import Batches

if TYPE_CHECKING:
    from core.train.build import Layout
    from core.train.callback import RunCallback
    from core.train.setup import Setup

AHEAD_BATCHES = 2


class FeedingTrainer(Trainer):
    """Takes its batches from a thread that reads, collates and copies them ahead.

    The thread draws nothing from the generators that dropout draws from, but for one number at the
    start of an epoch, for which the first step waits; so a run that is resumed stays the same.
    """

    setup: Setup
    layout: Layout
    callback: RunCallback
    batches: Batches | None = None  # of streamed rows, which come from threads of their own
    _ahead: Prefetch[Any] | None = None
    _loader: Iterator[Any] | None = None

    def train(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().train(*args, **kwargs)
        finally:
            self._leave_epoch()

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: Any
    ) -> tuple[list[Any], Any]:
        """The batches of a step, and their number of supervised tokens; its wait is recorded."""
        began = time.monotonic()
        ahead = epoch_iterator
        if self.batches is None:
            ahead = self._ahead_of(epoch_iterator, num_batches)
        batches = super().get_batch_samples(ahead, num_batches, device)
        self.callback.waited(time.monotonic() - began)
        return batches

    def _ahead_of(self, epoch_iterator: Iterator[Any], num_batches: int) -> Iterator[Any]:
        """The same batches, made in a thread; a new thread for each epoch."""
        if self._ahead is None or self._loader is not epoch_iterator:
            self._leave_epoch()
            self._loader = epoch_iterator
            # a step takes as many batches at once as it accumulates
            self._ahead = Prefetch(epoch_iterator, max(AHEAD_BATCHES, num_batches))
        return self._ahead

    def _leave_epoch(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
        self._ahead = self._loader = None

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        dataset: Any = self.train_dataset if train_dataset is None else train_dataset
        if self.layout.flat or dataset is None:
            return super()._get_train_sampler(dataset)
        return LengthSampler(lengths_of(dataset), self.setup.order_rows, self.args.seed)

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        if self.layout.flat:
            return super()._get_eval_sampler(eval_dataset)
        return Longest(lengths_of(eval_dataset))

    def filled_share(self) -> float | None:
        """Real tokens among those that an epoch's batches have room for; None if not known.

        What lies flat without bins has no other; packed, it is how full the bins of max_length are.
        """
        dataset: Any = self.train_dataset
        if self.layout.packed:
            size = self.callback.config.data.max_length
            return float(lengths_of(dataset).sum()) / (len(dataset) * size)
        if self.layout.flat:
            return 1.0
        order = list(self._get_train_sampler(dataset))
        return filled_share(dataset, order, self._train_batch_size)
