"""Rows that are read, encoded and packed while the run goes on, for files larger than memory.

The order follows from the seed alone. An epoch is a seeded order of chunks (rows that lie side by
side in the file, so that reads stay local), cut into blocks; a block is shuffled, encoded and
packed by itself. So a place in the stream is three numbers, and a resumed run begins at its block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from core.data.encode.encoder import Encoder, walk_rows
from core.data.files.source import Source
from core.data.shapes.read import Reader
from core.data.shapes.row_key import sample_key
from core.errors import AfinaError
from core.train.loader.mixture import repeats
from core.train.loader.packing import pack
from core.train.loader.rows import Rows

if TYPE_CHECKING:
    from datasets import Dataset
    from numpy import ndarray

    from core.data.files.rows import Span

BLOCK_TOKENS = 2**22  # of a block at most: 32 MiB of ids and labels
BLOCK_ROWS = 2048
CHUNK_ROWS = 64
SHUFFLED_ROWS = 2**17  # up to here every row is its own chunk, so the shuffle is complete


class Laying(msgspec.Struct, frozen=True):
    """How rows become batches."""

    max_length: int
    batch_rows: int  # rows or packed bins of a batch
    packed: bool


class Block(msgspec.Struct):
    """Encoded rows and the examples made of them, in the order in which they are trained on."""

    rows: Rows
    copies: int  # of rows that are held out, which are left out
    examples: Dataset
    order: Sequence[int]

    def batches(self, size: int) -> list[Sequence[int]]:
        return [self.order[start : start + size] for start in range(0, len(self.order), size)]


class EpochOrder(msgspec.Struct):
    """The chunks of an epoch in their seeded order, and the blocks that they are cut into."""

    starts: ndarray  # (chunks,): first row
    ends: ndarray  # (chunks,)
    chunks: int  # of a block
    seed: tuple[int, int]

    def __len__(self) -> int:
        return -(-len(self.starts) // self.chunks)

    def rows(self, block: int) -> list[int]:
        """The rows of a block, shuffled."""
        import numpy

        here = slice(block * self.chunks, (block + 1) * self.chunks)
        pairs = zip(self.starts[here], self.ends[here], strict=True)
        rows = numpy.concatenate([numpy.arange(start, end) for start, end in pairs])
        return numpy.random.default_rng((*self.seed, block)).permutation(rows).tolist()


class Stream:
    """The blocks of a source, any of them at any time."""

    def __init__(
        self, source: Source, reader: Reader, encoder: Encoder, spans: Sequence[Span], seed: int
    ) -> None:
        self.source = source
        self.reader = reader
        self.encoder = encoder
        self.seed = seed
        self.spans = joined(spans)
        self.held_out: frozenset[int] = frozenset()  # row indexes
        self.held_keys: frozenset[int] = frozenset()  # what they say, so that copies are left out
        self.chunk = 1 if len(source) <= SHUFFLED_ROWS else CHUNK_ROWS
        longest = encoder.max_length or 1
        self.block_rows = min(BLOCK_ROWS, max(CHUNK_ROWS, BLOCK_TOKENS // longest))

    def epoch(self, number: int) -> EpochOrder:
        """An epoch, counted from 0."""
        import numpy

        starts, ends = [], []
        for place, span in enumerate(self.spans):
            first = numpy.arange(span.start, span.end, self.chunk)
            times = repeats(len(first), span.weight, (self.seed, place), number)
            starts.append(numpy.repeat(first, times))
            ends.append(numpy.minimum(starts[-1] + self.chunk, span.end))
        total = sum(map(len, starts))
        shuffle = numpy.random.default_rng((self.seed, number)).permutation(total)
        all_starts, all_ends = numpy.concatenate(starts), numpy.concatenate(ends)
        chunks = max(1, self.block_rows // self.chunk)
        return EpochOrder(all_starts[shuffle], all_ends[shuffle], chunks, (self.seed, number))

    def encode(self, wanted: Sequence[int], into: Rows | None = None) -> tuple[Rows, int]:
        """The rows asked for, in this order, and how many were copies of held out ones."""
        rows, copies = Rows() if into is None else into, 0
        kept = [row for row in wanted if row not in self.held_out]
        for item in walk_rows(self.source, self.reader, self.encoder, kept):
            sample = item.sample
            if self.held_keys and sample is not None and sample_key(sample) in self.held_keys:
                copies += 1
                continue
            rows.add(sample, item.encoding, self.encoder)
        return rows, copies

    def block(self, order: EpochOrder, number: int, laying: Laying) -> Block:
        """A block of an epoch, encoded; packed rows come in a seeded order.

        Raises AfinaError once the files are no longer those that the rows were found in.
        """
        if self.source.changed():
            names = ", ".join(f'"{path}"' for path in self.source.files[:3])
            raise AfinaError(
                f"The rows were changed or deleted while the run reads them: {names}.",
                "Put them back as they were and resume; data.streaming=false reads them only once.",
            )
        import numpy

        rows, copies = self.encode(order.rows(number))
        examples = rows.to_dataset()
        places: Sequence[int] = range(len(rows))
        if laying.packed and len(rows):
            examples = pack(examples, laying.max_length)
            draw = numpy.random.default_rng((*order.seed, number, 1))
            places = draw.permutation(len(examples)).tolist()
        return Block(rows, copies, examples, places)


def joined(spans: Sequence[Span]) -> list[Span]:
    """Ranges that lie side by side with one weight as one range.

    Files that hold the same rows but are cut otherwise give the same order then.
    """
    whole: list[Span] = []
    for span in spans:
        if span.start == span.end:
            continue
        if whole and whole[-1].end == span.start and whole[-1].weight == span.weight:
            whole[-1] = msgspec.structs.replace(whole[-1], end=span.end)
        else:
            whole.append(span)
    return whole
