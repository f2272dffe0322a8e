"""Encodes the rows of a source once: by all cores where it pays, and kept for the next run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version

import msgspec

from core.data.analysis.cache import key_of
from core.data.analysis.job import CREW_BYTES, TOKENS, Subject, begin_fields
from core.data.analysis.pool import Pool, cores
from core.data.encode.columns import Columns, encode_columns
from core.train.loader.encoded_cache import VERSION, EncodedCache
from core.train.loader.encoded_table import Table

OnProgress = Callable[[int, int], None]  # rows done, rows in all
STEP_ROWS = 64  # of one process, between two words about how far it is: what is tokenized together
SHARD_BYTES = 1 << 20  # of rows, for a process of a crew: some half a second of work
MOST_SHARD_ROWS = 8192
WORTH_S = 0.3  # what is encoded in less is not kept


class Encoding(msgspec.Struct, frozen=True):
    """How a source is encoded."""

    processes: int | None = None  # None: as many as there are cores, where it pays
    worth_s: float = WORTH_S
    kept: EncodedCache | None = None  # None: those of the home


def encode_source(
    subject: Subject,
    on_progress: OnProgress,
    how: Encoding = Encoding(),  # noqa: B008 - frozen
) -> Table:
    """The table of every row of a source, kept from an earlier run or encoded now.

    Raises AfinaError for a process that fails twice, and what `on_progress` raises.
    """
    kept, key, total = how.kept or EncodedCache(), _key(subject), len(subject.source)
    if (table := kept.load(key, total)) is not None:
        on_progress(total, total)
        return table
    began = time.monotonic()
    table = Table.joined(_shards(subject, range(total), on_progress, how.processes))
    if time.monotonic() - began >= how.worth_s and not subject.source.changed():
        kept.store(key, table)
    return table


def encode_some(subject: Subject, rows: Sequence[int], on_progress: OnProgress) -> Table:
    """The table of some rows, in their order; not kept."""
    return Table.joined(_shards(subject, rows, on_progress, None))


def _key(subject: Subject) -> str:
    """Another one as soon as the tokens may be others."""
    assert subject.encoder is not None
    template = subject.encoder.template
    sources = None if template is None else [template.sources, template.special]
    return key_of(VERSION, version("tokenizers"), subject.key("encode", False), sources)


def _shards(
    subject: Subject, rows: Sequence[int], on_progress: OnProgress, processes: int | None
) -> Iterator[Columns]:
    """The rows in their order, a part at a time."""
    size = subject.row_bytes()
    pays = size * len(rows) >= CREW_BYTES[TOKENS]
    processes = (cores() if pays else 1) if processes is None else processes
    done = 0
    on_progress(0, len(rows))
    for shard in _encoded(subject, rows, processes, size):
        done += shard.rows
        on_progress(done, len(rows))
        yield shard


def _encoded(
    subject: Subject, rows: Sequence[int], processes: int, size: float
) -> Iterator[Columns]:
    if processes == 1:
        assert subject.encoder is not None
        for start in range(0, len(rows), STEP_ROWS):
            part = rows[start : start + STEP_ROWS]
            yield encode_columns(subject.source, subject.reader, subject.encoder, part)
        return
    step = int(min(MOST_SHARD_ROWS, max(STEP_ROWS, SHARD_BYTES // max(1.0, size))))
    tasks = (_task(rows, start, step) for start in range(0, len(rows), step))
    crew = Pool(processes, begin_fields(subject), "encode", Columns)
    try:
        yield from crew.shards(tasks, lambda: False)
    finally:
        crew.close()


def _task(rows: Sequence[int], start: int, step: int) -> dict[str, object]:
    part = rows[start : start + step]
    listed = None if isinstance(part, range) else list(part)
    return {"start": start, "stop": start + len(part), "rows": listed}
