"""What is known of streamed rows before the first step: some of them, encoded, and estimates."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from core.config import Config
from core.data.encode.encoder import Encoder
from core.data.files.rows import Span
from core.data.files.source import Source, open_source
from core.data.problems import RowProblem
from core.data.recipe import Recipe
from core.data.shapes.read import Reader
from core.data.shapes.row_key import sample_key
from core.plan.layout import open_rows
from core.runs.finding import Finding
from core.train.loader.dataset import OnProgress
from core.train.loader.packing import pack
from core.train.loader.rows import Rows
from core.train.loader.stream import Laying, Stream

if TYPE_CHECKING:
    from core.train.loader.stream_batches import Passed

SAMPLED_ROWS = 1000
MOST_HELD_OUT = 2000  # rows; each evaluation goes through all of them


class Streamed(msgspec.Struct):
    """A stream with estimates of an epoch; `sample` are the rows that these come from."""

    stream: Stream
    sample: Rows
    looked_at: int  # rows, those that teach nothing included
    evaluation: Rows
    rows: int
    tokens: int
    supervised_tokens: int
    of_files: Sequence[RowProblem] = ()  # what is to be said of whole files

    def batches(self, laying: Laying) -> int:
        """Batches of an epoch, about: packed, as full as the sample packs."""
        units = self.rows
        if laying.packed and len(self.sample):
            bins = len(pack(self.sample.to_dataset(), laying.max_length))
            units = math.ceil(self.tokens * bins / self.sample.tokens)
        return max(1, -(-units // laying.batch_rows))

    def digest(self) -> str:
        """A hash that is another one when the rows, the tokenizer or the template are."""
        hashed = hashlib.sha256(self.stream.source.content_hash().encode())
        for part in (self.sample.digest(), self.evaluation.digest(), str(self.rows)):
            hashed.update(part.encode())
        return hashed.hexdigest()


def look(config: Config, encoder: Encoder, on_progress: OnProgress) -> Streamed:
    """Opens the rows of a configuration, holds some out and encodes a sample of the rest.

    Copies of rows that are held out are left out of the stream when they come by.
    """
    recipe = Recipe.of(config)
    source = open_rows(config)
    reader = recipe.reader(source)
    spans = source.weights() if config.data.mix else [Span(0, len(source), 1.0)]
    stream = Stream(source, reader, encoder, spans, config.train.seed)
    evaluation, of_files = Rows(), source.problems
    if config.data.eval_path is not None:
        with open_source(config.data.eval_path) as other:
            of_files += other.problems
            there = Stream(other, recipe.reader(other), encoder, [], config.train.seed)
            evaluation = there.encode(range(len(other)))[0]
    elif config.data.eval_fraction > 0:
        held_out = draw_held_out(len(source), config.data.eval_fraction, config.train.seed)
        evaluation = stream.encode(held_out)[0]
        stream.held_out = frozenset(held_out)
        stream.held_keys = frozenset(_keys(source, reader, held_out))
    seen = _estimate(stream, evaluation, on_progress)
    seen.of_files = of_files
    return seen


def draw_held_out(count: int, fraction: float, seed: int) -> list[int]:
    """The rows that are held out, ascending."""
    import numpy

    wanted = min(MOST_HELD_OUT, max(1, round(count * fraction)), count - 1)
    if wanted < 1:
        return []
    draw = numpy.random.default_rng((seed, count))
    return sorted(draw.choice(count, wanted, replace=False, shuffle=False).tolist())


def _keys(source: Source, reader: Reader, rows: Sequence[int]) -> Iterator[int]:
    for row in rows:
        sample = reader.read(source.row(row)).sample
        if sample is not None:
            yield sample_key(sample)


def _estimate(stream: Stream, evaluation: Rows, on_progress: OnProgress) -> Streamed:
    """Encodes rows of every range and counts up to all of them, each as often as it is seen."""
    total = sum(span.end - span.start for span in stream.spans)
    sample = Rows()
    looked_at = rows = tokens = supervised = 0.0
    for span in stream.spans:
        length = span.end - span.start
        share = min(length, max(20, SAMPLED_ROWS * length // max(total, 1)))
        some = [span.start + place * length // share for place in range(share)]
        before = (len(sample), sample.tokens, sample.supervised_tokens)
        stream.encode(some, sample)
        seen = length * span.weight / share
        rows += (len(sample) - before[0]) * seen
        tokens += (sample.tokens - before[1]) * seen
        supervised += (sample.supervised_tokens - before[2]) * seen
        looked_at += share
        on_progress(int(looked_at), min(total, SAMPLED_ROWS))
    return Streamed(
        stream, sample, int(looked_at), evaluation, round(rows), round(tokens), round(supervised)
    )


def findings(passed: Passed) -> Iterator[Finding]:
    """What a streamed run says at its end of the rows."""
    if passed.left_out:
        yield Finding(
            "warning",
            f"{passed.left_out:,} of {passed.rows:,} rows that were encoded are left out: "
            f"the first is {passed.first_left_out}.",
            "`afina data check` lists the problems row by row.",
        )
    if passed.truncated:
        yield Finding(
            "warning",
            f"{passed.truncated:,} of {passed.rows:,} rows that were encoded are cut at "
            "data.max_length.",
            "Raise data.max_length, or shorten the rows.",
        )
    if passed.copies:
        yield Finding(
            "note",
            f"{passed.copies:,} of {passed.rows:,} rows that were encoded are left out: "
            "they are copies of rows that are held out.",
        )
