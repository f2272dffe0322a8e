"""The batches of a streamed run, encoded ahead by a thread, and where the run stands in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Full, Queue
from threading import Event, Thread
from typing import Any, NamedTuple

import msgspec

from core.errors import AfinaError
from core.train.feed.stream import Block, Laying, Stream

AHEAD = 1  # encoded blocks that wait, beside the one in use and the one in the making
LOOK_S = 0.1  # between two looks at whether the thread is still wanted


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


class Batches:
    """Every batch of a run in order, from where it stands on without end.

    Takes the place of a trainer's data loader whose one epoch is the whole run. `passed` tells of
    the batches that were handed out, whatever the thread has made beyond them.
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
        for made in self._ahead():
            batches = made.block.batches(self.laying.batch_rows)
            cursor = self.passed.cursor
            same = (cursor.epoch, cursor.block) == (made.epoch, made.number)
            begin = cursor.batch if same else 0
            if begin == 0:
                self.passed.add(made.block)
            if not batches:
                self.passed.cursor = _after(made, 0, 0)
            for place in range(begin, len(batches)):
                self.passed.cursor = _after(made, place, len(batches))
                done = (made.number + (place + 1) / len(batches)) / made.blocks
                self.epoch = made.epoch + done
                yield self.collate([made.block.examples[index] for index in batches[place]])

    def _ahead(self) -> Iterator[_Made]:
        """Blocks from the cursor on, made by a thread; raises what the thread raised."""
        ready: Queue[_Made | BaseException] = Queue(AHEAD)
        over = Event()
        start = self.passed.cursor
        thread = Thread(target=self._make, args=(start, ready, over), daemon=True)
        thread.start()
        try:
            while True:
                made = ready.get()
                if isinstance(made, BaseException):
                    raise made
                yield made
        finally:
            over.set()
            thread.join()

    def _make(self, start: Cursor, ready: Queue[_Made | BaseException], over: Event) -> None:
        try:
            for made in self._blocks(start):
                if not _put(made, ready, over):
                    return
        except Exception as error:  # noqa: BLE001 - raised again where the batches are taken
            _put(error, ready, over)

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


def _put(item: _Made | BaseException, ready: Queue[_Made | BaseException], over: Event) -> bool:
    """Puts an item as soon as there is room; False when nobody wants it any more."""
    while not over.is_set():
        with suppress(Full):
            ready.put(item, timeout=LOOK_S)
            return True
    return False
