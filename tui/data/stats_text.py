"""The statistics of a file in words: figures, a histogram, what each max_length would cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from core.config import Config
from core.data.escape import visible
from core.figures import short
from tui.theme import AMBER, SECONDARY, TEAL, TEXT, YELLOW, Symbols
from tui.widgets.row_list import Cell, Column

LABEL_CELLS = 11
HEIGHT = 4  # lines of the histogram
MOST_NAMES = 8  # labels or languages on a line
COLUMNS = (
    Column("max_length", 10, right=True),
    Column("cut", 9, right=True),
    Column("", 5, right=True),
    Column("lost", 7, right=True),  # tokens
    Column("padding", 7, right=True),
    Column("packing", 7, right=True),
    Column("steps", 8, right=True),  # of an epoch
    Column("", 0),
)


class Lengths(list[Mapping[str, Any]]):
    """What the rows of the table say, one for each max_length."""

    def __init__(self, found: Sequence[Mapping[str, Any]], rows: int, config: Config) -> None:
        super().__init__(found)
        self._rows = rows  # that have tokens
        self._config = config

    def cells(self, index: int) -> Sequence[Cell]:
        row, train = self[index], self._config.train
        here = row["max_length"] == self._config.data.max_length
        share = row["rows_cut"] / self._rows if self._rows else 0.0
        packed = _is_packed(self._config, row["tokens"])
        units = row["packed_rows"] if packed else self._rows
        per_step = train.per_device_train_batch_size * train.gradient_accumulation_steps
        number = f"{row['max_length']:,}"
        return (
            (number, f"bold {AMBER}") if here else number,
            (f"{row['rows_cut']:,}", YELLOW if row["rows_cut"] else SECONDARY),
            (percent(share), SECONDARY),
            tokens_words(row["tokens_lost"]),
            percent(row["padding_share"]),
            percent(row["packing_efficiency"]),
            f"{-(-units // per_step):,}",
            ("now" if here else "", AMBER),
        )


def _is_packed(config: Config, tokens: int) -> bool:
    from core.plan.layout import should_pack

    return should_pack(config, tokens)


def tokens_words(number: int) -> str:
    """A number of tokens in six characters at most: 835, 9,120, 3.2M."""
    return f"{number:,}" if number < 10_000 else short(number)


def percent(share: float) -> str:
    """43%, 0.4%, 0%: so that a few rows of many don't vanish."""
    if 0 < share < 0.0005:
        return "<0.1%"
    return f"{share:.1%}" if 0 < share < 0.0995 else f"{share:.0%}"


def figures(stats: Mapping[str, Any], width: int, symbols: Symbols) -> Text:
    """Everything above the table, in lines of so many cells."""
    tokens = stats["tokens"]
    text = Text(no_wrap=True, overflow="ellipsis")
    for label, parts in _lines(stats):
        text.append(label.ljust(LABEL_CELLS), SECONDARY)
        text.append_text(Text("   ").join(part for part in parts)).append("\n")
    if tokens and tokens["max"]:
        text.append_text(histogram(tokens, width, symbols))
    text.rstrip()
    return text


def _lines(stats: Mapping[str, Any]) -> Iterator[tuple[str, list[Text]]]:
    rows = [_figure("", f"{stats['rows']:,}")]
    if stats["unreadable"]:
        rows.append(_figure("unreadable", f"{stats['unreadable']:,}", YELLOW))
    turns, size = stats["turns"], stats["bytes"]
    rows += [_figure("turns p50", f"{turns['p50']:,}"), _figure("max", f"{turns['max']:,}")]
    rows += [_figure("bytes p50", f"{size['p50']:,}"), _figure("max", f"{size['max']:,}")]
    yield "rows", rows
    tokens = stats["tokens"]
    if tokens:
        names = ("p50", "p95", "p99", "max")
        found = [_figure(name, f"{tokens[name]:,}") for name in names]
        yield "tokens", [_figure("", f"{tokens['tokens']:,}"), *found]
        learned = stats["supervised"]
        yield (
            "supervised",
            [
                _figure("", percent(tokens["supervised_share"]), TEAL),
                _figure("p50", f"{learned['p50']:,}"),
                _figure("max", f"{learned['max']:,}"),
            ],
        )
    for label in ("languages", "labels", "roles"):
        if stats[label] and (label != "roles" or not stats["labels"]):
            yield label, list(_names(stats[label]))


def _figure(label: str, value: str, colour: str = TEXT) -> Text:
    text = Text(f"{label} " if label else "", SECONDARY)
    return text.append(value, colour)


def _names(counts: Mapping[str, int]) -> Iterator[Text]:
    """The commonest, and how many there are besides."""
    for name, number in list(counts.items())[:MOST_NAMES]:
        yield _figure(visible(name, newlines=False), f"{number:,}")
    if len(counts) > MOST_NAMES:
        yield Text(f"{len(counts) - MOST_NAMES:,} more", SECONDARY)


def histogram(tokens: Mapping[str, Any], width: int, symbols: Symbols) -> Text:
    """Rows by length, and under them the scale from 0 to the longest."""
    counts = tokens["histogram"]
    cell = max(1, min(3, (width - LABEL_CELLS) // max(1, len(counts))))
    top, steps = max(counts), len(symbols.bars)
    text = Text()
    for line in reversed(range(HEIGHT)):
        label = f"{top:,} rows" if line == HEIGHT - 1 else ""
        text.append(label[: LABEL_CELLS - 1].ljust(LABEL_CELLS), SECONDARY)
        for number in counts:
            # eighths of a cell; a bin with any row keeps one, so that rare lengths are seen
            full = max(1, round(number * HEIGHT * steps / top)) if number else 0
            here = min(steps, max(0, full - line * steps))
            text.append((symbols.bars[here - 1] if here else " ") * cell, TEAL)
        text.append("\n")
    wide = cell * len(counts)
    longest = f"{tokens['max']:,} tokens"
    text.append(f"{'':{LABEL_CELLS}}0{longest:>{wide - 1}}\n", SECONDARY)
    return text
