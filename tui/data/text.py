"""The Data pane's facts in words and figures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rich.text import Text

from core.config import Config
from tui.data.rows import RANK, DataRows
from tui.data.state import FileState
from tui.data.tokens import ShownRow
from tui.theme import AMBER, RED, SECONDARY, SEVERITY, TEAL, TEXT, YELLOW
from tui.widgets.strip import Figure, histogram_bars

HISTOGRAM_CELLS = 12
SHAPES = {
    "chat": "chat",
    "sharegpt": "ShareGPT",
    "alpaca": "Alpaca",
    "kto": "KTO",
    "pretokenised": "pre-tokenised",
}
SURE = 0.995  # share of rows that agree on the shape, above which it needs no mention


def shape_words(shape: str) -> str:
    """ "chat", "prompt completion"."""
    return SHAPES.get(shape, shape.replace("_", " "))


class Part(NamedTuple):
    """A fact of the frame; of those that don't fit, the one with the highest rank goes first."""

    rank: int
    words: Text


def rows_facts(rows: DataRows, state: FileState, search: str, width: int, dot: str) -> Text:
    """ "chat · 12,480 rows · 3 errors · 41 warnings", in so many cells; search: "12 of 31 hits"."""
    parts = list(_rows_parts(rows, state, search))
    gap = Text(f" {dot} ", SECONDARY)
    while True:
        line = gap.join(part.words for part in parts)
        if line.cell_len <= width or len(parts) < 2:
            return line
        parts.remove(max(parts, key=lambda part: part.rank))


def _rows_parts(rows: DataRows, state: FileState, search: str) -> Iterator[Part]:
    if rows.shape:
        share = state.opened.get("share", 1.0)
        words = shape_words(rows.shape)
        if share < SURE and not state.opened.get("named"):
            yield Part(8, Text(f"{words} {share:.0%}", YELLOW))
        else:
            yield Part(8, Text(words))
    if rows.view is not None and len(rows) < rows.total:
        yield Part(0, Text(f"{len(rows):,} of {count(rows.total, 'row')}"))
    elif rows.total:
        yield Part(2, Text(count(rows.total, "row")))
    if search:
        yield Part(1, Text(search, AMBER))
    if rows.marked:
        yield Part(6, Text(f"{len(rows.marked):,} marked", AMBER))
    if state.pending:
        yield Part(7, Text(state.pending, AMBER))
    for rank, severity, colour in ((4, "error", RED), (5, "warning", YELLOW)):
        if number := state.survey.get(f"{severity}s"):
            yield Part(rank, Text(count(number, severity), colour))
    if progress := state.progress():
        yield Part(3, Text(progress))
    elif state.survey.get("cached"):
        yield Part(9, Text("from the cache", SECONDARY))


def row_facts(row: ShownRow, dot: str) -> Text:
    """ "truncated · 3 messages · 142 tokens · 61 supervised": the worst problem, then figures."""
    turns = [turn for turn in row.turns if turn[0]]
    parts = [Text(count(len(turns), "message"))] if turns else []
    if row.encoded:
        parts.append(Text(count(len(row.ids), "token")))
        parts.append(Text(f"{sum(row.supervised):,} supervised"))
    if row.problems:
        worst = min(row.problems, key=lambda problem: RANK[problem["severity"]])
        parts.insert(0, Text(worst["check"], SEVERITY[worst["severity"]]))
    return Text(f" {dot} ", SECONDARY).join(parts)


def stat_figures(stats: dict[str, Any], config: Config, bars: str) -> Sequence[Figure]:
    """The strip: lengths, what is learned, what is cut, and what an epoch takes."""
    if not stats or not stats["rows"]:
        return ()
    shape = histogram_bars(stats["histogram"], HISTOGRAM_CELLS, bars)
    cut = stats["truncated"]
    return (
        Figure("tokens", shape, TEAL),
        Figure("p50", f"{stats['p50']:,}"),
        Figure("p95", f"{stats['p95']:,}"),
        Figure("max", f"{stats['max']:,}"),
        Figure("supervised", f"{stats['supervised_share']:.0%}"),
        Figure("truncated", f"{cut:,}", YELLOW if cut else TEXT),
        Figure("steps/epoch", f"{steps_per_epoch(stats, config):,}"),
    )


def steps_per_epoch(stats: dict[str, Any], config: Config) -> int:
    """Optimizer steps in one pass: by tokens where rows are packed, else by rows."""
    from core.plan.layout import should_pack

    share, train = training_share(config), config.train
    tokens = round(stats["tokens"] * share)
    if should_pack(config, tokens):
        units = math.ceil(tokens / config.data.max_length)
    else:
        units = round((stats["rows"] - stats["empty"]) * share)
    per_step = train.per_device_train_batch_size * train.gradient_accumulation_steps
    return max(1, math.ceil(units / per_step))


def training_share(config: Config) -> float:
    """The share of the file's rows that is trained on."""
    return 1.0 if config.data.eval_path else 1.0 - config.data.eval_fraction


def count(number: int, word: str) -> str:
    """ "1 row", "12,480 rows"."""
    return f"{number:,} {word}" + ("" if number == 1 else "s")
