"""The batches of a streamed run, encoded and laid out ahead, and where the run stands in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

import msgspec

from core.errors import AfinaError
from core.train.loader.prefetch import Prefetch
from core.train.loader.stream import Block, Laying, Stream

AHEAD = 1  # encoded blocks that wait, beside the one in use and the one in the making
AHEAD_BATCHES = 2


class Cursor(msgspec.Struct, frozen=True):
    """The next batch: its epoch, block and place in the block, each from 0."""

    epoch: int = 0
    block: int = 0
    batch: int = 0


class Passed(msgspec.Struct):
    """Where a streamed run stands and what it has seen; travels in a checkpoint's manifest."""

    steps: int = 0  # of the whole run, settled before its first one
    cursor: Cursor = Cursor()
    rows: int = 0  # that were encoded
    left_out: int = 0  # of these, rows that can't be read or teach nothing
    truncated: int = 0
    copies: int = 0  # of held out rows
    first_left_out: str = ""

    def add(self, block: Block) -> None:
        rows = block.rows
        self.rows += len(rows) + rows.left_out + block.copies
        self.left_out += rows.left_out
        self.truncated += rows.truncated
        self.copies += block.copies
        if rows.left_out and not self.first_left_out:
            self.first_left_out = str(rows.first_problem or "a row without a supervised token")


class _Made(NamedTuple):
    """A block, its place, and the number of blocks in its epoch."""

    epoch: int
    number: int
    blocks: int
    block: Block


class _Ready(NamedTuple):
    """A batch, or None for a block without any, and what is true once it is handed out."""

    batch: Any
    begun: Block | None  # the block that it is the first batch of
    cursor: Cursor
    epoch: float  # passes over the rows


class Batches:
    """Every batch of a run in order, from where it stands on without end.

    Takes the place of a trainer's data loader whose one epoch is the whole run. `passed` tells of
    the batches that were handed out, whatever the threads have made beyond them.
    """

    def __init__(
        self,
        stream: Stream,
        laying: Laying,
        passed: Passed,
        collate: Callable[[list[dict[str, Any]]], Any],
        length: int,
    ) -> None:
        self.stream = stream
        self.laying = laying
        self.passed = passed
        self.collate = collate
        self.length = length  # batches of the whole run
        self.epoch = 0.0  # passes over the rows so far

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Any]:
        with closing(Prefetch(self._collated(self.passed.cursor), AHEAD_BATCHES)) as ahead:
            for ready in ahead:
                if ready.begun is not None:
                    self.passed.add(ready.begun)
                self.passed.cursor, self.epoch = ready.cursor, ready.epoch
                if ready.batch is not None:
                    yield ready.batch

    def _collated(self, start: Cursor) -> Iterator[_Ready]:
        with closing(Prefetch(self._blocks(start), AHEAD)) as ahead:
            for made in ahead:
                batches = made.block.batches(self.laying.batch_rows)
                same = (start.epoch, start.block) == (made.epoch, made.number)
                begin = start.batch if same else 0
                if not batches:
                    done = (made.number + 1) / made.blocks
                    yield _Ready(None, made.block, _after(made, 0, 0), made.epoch + done)
                for place in range(begin, len(batches)):
                    done = (made.number + (place + 1) / len(batches)) / made.blocks
                    yield _Ready(
                        self.collate(made.block.examples.__getitems__(list(batches[place]))),
                        None if place else made.block,
                        _after(made, place, len(batches)),
                        made.epoch + done,
                    )

    def _blocks(self, start: Cursor) -> Iterator[_Made]:
        epoch, first = start.epoch, start.block
        while True:
            order = self.stream.epoch(epoch)
            useful = first > 0
            for number in range(first, len(order)):
                block = self.stream.block(order, number, self.laying)
                useful = useful or len(block.rows) > 0
                yield _Made(epoch, number, len(order), block)
            if not useful:
                raise AfinaError(
                    "None of the rows can be trained on.",
                    "`afina data check` lists the problems row by row.",
                )
            epoch, first = epoch + 1, 0


def _after(made: _Made, place: int, count: int) -> Cursor:
    """Where the run stands once a batch of a block is done."""
    if place + 1 < count:
        return Cursor(made.epoch, made.number, place + 1)
    if made.number + 1 < made.blocks:
        return Cursor(made.epoch, made.number + 1, 0)
    return Cursor(made.epoch + 1, 0, 0)
