"""Ways to less memory where a run doesn't fit, those first that cost least.

What can be measured quickly is measured; the rest follows from the line through the points or from
the formula.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from core.plan.probe import SAFETY
from core.plan.probe_result import Fix
from core.train.probe.linear_fit import Line
from core.train.probe.request import Measured, Order

if TYPE_CHECKING:
    from core.train.probe.worker import Session

QUICK_S = 20.0  # a child that takes longer isn't repeated for each way
MOST_MEASURED = 3
ROWS, PASSES = "train.per_device_train_batch_size", "train.gradient_accumulation_steps"
LENGTH = "data.max_length"
LEAST_SAVED = 2**20  # less is not worth a line


def ways_out(session: Session, peak: int, line: Line | None) -> list[Fix]:
    """The ways, ranked: what fits by itself first, in the order of what it costs."""
    limit = SAFETY * session.free_bytes
    found: list[Fix] = []
    for options, words in _ways(session, line):
        estimated = Fix(options, words, _estimated(session, options, peak, line), False)
        measurable = set(options).isdisjoint({ROWS, LENGTH})
        quick = session.slowest_s <= QUICK_S and sum(fix.measured for fix in found) < MOST_MEASURED
        if measurable and quick and peak - 0.8 * estimated.saves_bytes <= session.free_bytes:
            estimated = _measured(session, estimated, peak)
        found.append(estimated)
    if found and not any(_fits(fix, peak, limit) for fix in found):
        found.append(_together(session, found, peak, line))
    found = [fix for fix in found if fix.saves_bytes >= LEAST_SAVED]
    return sorted(found, key=lambda fix: not _fits(fix, peak, limit))  # keeps the order within


def _ways(session: Session, line: Line | None) -> Iterator[tuple[dict[str, Any], str]]:
    """What can be changed: what costs least first."""
    config = session.config
    method, train = config.method, config.train
    if (rows := _fewer_rows(session, line)) is not None:
        batch = train.per_device_train_batch_size * train.gradient_accumulation_steps
        yield (
            {ROWS: rows, PASSES: -(-batch // rows)},
            f"{rows} rows a pass, {-(-batch // rows)} passes a step: as many rows a step, "
            "a little slower",
        )
    if train.optim == "adamw":
        yield {"train.optim": "adamw_8bit"}, "the optimizer's moments in 8 bits"
    if not train.gradient_checkpointing:
        yield {"train.gradient_checkpointing": True}, "compute activations twice: up to 1/3 slower"
    if method.kind != "full" and method.quantization == "none":
        yield {"method.quantization": "nf4"}, "frozen weights in 4 bits (QLoRA): slower, rounded"
    if config.data.max_length > _shorter(session):
        length = _shorter(session)
        cut = sum(size > length for size in session.encoded.train.lengths)
        yield {LENGTH: length}, f"rows cut at {length} tokens: {cut:,} of them would be"
    if method.kind == "full":
        yield (
            {"method.kind": "lora", "train.learning_rate": max(train.learning_rate, 2e-4)},
            "train an adapter instead of every weight",
        )


def _fewer_rows(session: Session, line: Line | None) -> int | None:
    """Rows of a pass that fit and divide the batch; None where it can't be smaller."""
    rows = session.config.train.per_device_train_batch_size
    fitting = [p.micro_batch for p in session.points if _point_fits(session, p.device_bytes)]
    most = max(fitting, default=1)
    if line is not None:
        most = max(most, line.most_rows(SAFETY * session.free_bytes, rows) or 1)
    least = 2 if session.encoded.objective == "kto" else 1
    smaller = [count for count in range(min(most, rows - 1), least - 1, -1) if rows % count == 0]
    return smaller[0] if smaller else None


def _shorter(session: Session) -> int:
    """Half of max_length, or less than the longest row where half is more than that."""
    half = session.config.data.max_length // 2
    return max(64, half)


def _point_fits(session: Session, size: int) -> bool:
    return size <= SAFETY * session.free_bytes


def _estimated(session: Session, options: dict[str, Any], peak: int, line: Line | None) -> int:
    """Bytes that a way saves: along the line where rows or tokens are fewer, else the formula's."""
    config = session.config
    rows = config.train.per_device_train_batch_size
    if line is not None and ROWS in options and len(options) == 2:
        return peak - line.peak(options[ROWS])
    if line is not None and set(options) == {LENGTH} and line.row_peak:
        share = 1 - options[LENGTH] / config.data.max_length
        return round(share * line.row_peak * rows)
    before, after = session.estimate(config), session.estimate(config.laid_over(options))
    # the formula's parts are better than its sum: its share of the measured peak
    return max(0, round((before.total - after.total) * min(1.5, peak / before.total)))


def _measured(session: Session, fix: Fix, peak: int) -> Fix:
    """The same way with what it saves as two steps show it; as it was where they don't fit."""
    rows = session.config.train.per_device_train_batch_size
    options = {name: value for name, value in fix.options.items() if name != ROWS}
    order = Order(session.run.directory, session.base, session.config, rows, options)
    outcome = session.child(order)
    if outcome.result is None:
        return fix
    saved = peak - msgspec.convert(outcome.result, Measured).peak_bytes
    return msgspec.structs.replace(fix, saves_bytes=max(0, saved), measured=True)


def _together(session: Session, found: list[Fix], peak: int, line: Line | None) -> Fix:
    """All ways that leave the method as it is, at once."""
    options: dict[str, Any] = {}
    for fix in found:
        if "method.kind" not in fix.options:
            options |= fix.options
    saved = _estimated(session, options, peak, line)
    return Fix(options, "all of these together", saved, False)


def _fits(fix: Fix, peak: int, limit: float) -> bool:
    return peak - fix.saves_bytes <= limit
