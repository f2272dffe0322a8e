"""The rows of a run: that there are some, that they teach, and what is worth a finding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from core.config import Config
from core.config.rates import rate_problem
from core.data.encode.encoder import Encoder
from core.data.problems import NOTE, RowProblem
from core.errors import AfinaError
from core.figures import size
from core.hardware import read_device
from core.plan.layout import LARGE_SHARE, encoded_bytes
from core.runs.finding import Finding
from core.train.checks.preflight.leak import leak_findings
from core.train.loader.dataset import Encoded
from core.train.loader.rows import Rows
from core.train.objectives.kto_weights import told_weights

if TYPE_CHECKING:
    from core.train.loader.stream_estimate import Streamed

FEW_ROWS = 10


def check_data(config: Config, encoder: Encoder, encoded: Encoded) -> None:
    """The rows: that there are some, that they teach, and that what they teach ends."""
    rows = encoded.train
    if len(rows) == 0:
        raise AfinaError(
            f'No row of "{config.data.path}" can be trained on: {_why_left_out(rows)}.',
            "`afina data check` lists the problems row by row.",
        )
    if encoded.objective == "kto" and len(rows) == 1:
        raise AfinaError(
            "kto compares the rows of a batch, and there is one row to learn from.",
            "Give more rows.",
        )
    classes = encoded.classes
    if encoded.objective == "classification" and len(classes) < 2:
        raise AfinaError(
            f'Every row has the class "{classes[0]}", so there is nothing to tell apart.',
            "Give rows of at least two classes.",
        )
    spoken = encoded.shape not in ("text", "pretokenised", "classification")
    if spoken and rows.unstopped == len(rows):
        stops = ", ".join(map(str, sorted(encoder.tokenizer.stop_ids))) or "none"
        raise AfinaError(
            f"None of the {len(rows):,} answers ends in a token that generation stops on "
            f"(eos_token_id: {stops}), so the model would learn to talk on for ever.",
            "Give a template that ends answers with the stop token: data.chat_template=FILE.",
        )
    if config.checkpoint.early_stopping_patience and len(encoded.evaluation) == 0:
        raise AfinaError(
            "Early stopping needs evaluation rows, and none could be held out.",
            "Give data.eval_path, or set checkpoint.early_stopping_patience=null.",
        )


def data_warnings(config: Config, encoded: Encoded) -> Iterator[Finding]:
    """What the run can live with; of streamed rows, as far as the sample shows it."""
    rows = encoded.train
    yield from _of_files(encoded.of_files)
    yield from _losses(encoded.evaluation, "held-out row")
    if encoded.streamed:
        yield _estimate(encoded.streamed)
    else:
        yield from _losses(rows)
        yield from _size(encoded)
    if rows.unstopped and rows.unstopped < len(rows):
        yield Finding(
            "warning",
            f"{_rows(rows.unstopped)} without a stop token at the end of the answer.",
        )
    if len(rows) < FEW_ROWS:
        yield Finding("warning", f"Only {_rows(len(rows))} to learn from.", "10 is the least.")
    if rate := rate_problem(config, encoded.objective):
        yield Finding("warning", f"train.learning_rate: {rate.message}", rate.hint)
    yield from leak_findings(encoded)
    if encoded.objective == "kto" and len(set(rows.judgements)) == 1:
        kind = "wanted" if rows.judgements[0] else "unwanted"
        yield Finding("warning", f"Every answer is {kind}: nothing shows the other kind.")
    if encoded.objective == "kto" and (finding := told_weights(rows.judgements)):
        yield finding
    if encoded.unknown_classes:
        names = ", ".join(f'"{label}"' for label in sorted(map(str, encoded.unknown_classes)))
        yield Finding(
            "warning",
            f"Held-out rows of the class {names} aren't measured: no training row has it.",
            "Give training rows of that class.",
        )


def _of_files(problems: Sequence[RowProblem]) -> Iterator[Finding]:
    """What of whole files is not trained on, or is read in another way: one finding a check."""
    found: dict[str, list[RowProblem]] = {}
    for item in problems:
        found.setdefault(item.check, []).append(item)
    for check, items in found.items():
        often = "once" if len(items) == 1 else f"{len(items):,} times"
        severity = "note" if items[0].severity == NOTE else "warning"
        yield Finding(severity, f"{check}, {often}: {items[0].found}.", items[0].fix)


def _losses(rows: Rows, kind: str = "row") -> Iterator[Finding]:
    if rows.left_out:
        yield Finding(
            "warning",
            f"{_rows(rows.left_out, kind)} left out: {_why_left_out(rows)}.",
            "`afina data check` lists the problems row by row.",
        )
    if rows.truncated:
        yield Finding(
            "warning",
            f"{_rows(rows.truncated, kind)} cut at data.max_length.",
            "Raise data.max_length, or shorten the rows.",
        )


def _size(encoded: Encoded) -> Iterator[Finding]:
    """Encoded rows that take a large share of the memory that is free."""
    needed, free = encoded_bytes(encoded.tokens), read_device("cpu").memory_free_bytes
    if encoded.objective == "sft" and needed > LARGE_SHARE * free:
        yield Finding(
            "warning",
            f"The encoded rows take {size(needed)} of {size(free)} free memory.",
            "Set data.streaming=true: rows are encoded while the run goes on.",
        )


def _estimate(streamed: Streamed) -> Finding:
    sample = streamed.sample
    lost = f", {sample.left_out:,} left out" if sample.left_out else ""
    cut = f", {sample.truncated:,} cut at data.max_length" if sample.truncated else ""
    return Finding(
        "note",
        f"Rows are encoded while the run goes on; of {streamed.looked_at:,} looked at{lost}{cut}, "
        f"an epoch has about {streamed.rows:,} rows and {streamed.tokens:,} tokens.",
        "The number of steps follows from that and stays as it is.",
    )


def _why_left_out(rows: Rows) -> str:
    if rows.left_out == 0:
        return "the file holds no rows"
    if rows.first_problem is None:
        return "they hold no supervised token"
    return f"the first is {rows.first_problem}"


def _rows(count: int, kind: str = "row") -> str:
    return f"1 {kind}" if count == 1 else f"{count:,} {kind}s"
