"""The Data pane's facts in words and figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.text import Text

from core.config import Config
from tui.data_rows import RANK, DataRows
from tui.theme import RED, SECONDARY, SEVERITY, TEAL, TEXT, YELLOW
from tui.widgets.strip import Figure, histogram_bars
from tui.widgets.token_view import ShownRow

HISTOGRAM_CELLS = 12
SHAPES = {"chat": "chat", "sharegpt": "ShareGPT", "alpaca": "Alpaca"}


def rows_facts(rows: DataRows, progress: str, dot: str) -> Text:
    """ "chat · 12,480 rows · 3 errors · 41 warnings"."""
    parts = [Text(SHAPES.get(rows.shape, rows.shape.replace("_", " ")))] if rows.shape else []
    if len(rows):
        parts.append(Text(count(len(rows), "row")))
    for severity, colour in (("error", RED), ("warning", YELLOW)):
        if rows.counts[severity]:
            parts.append(Text(count(rows.counts[severity], severity), colour))
    if progress:
        parts.append(Text(progress))
    return Text(f" {dot} ", SECONDARY).join(parts)


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
    from core.train.dataset import should_pack

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
