"""What came of a probe: the batches that were measured, and the ways to less memory."""

from __future__ import annotations

from typing import Any

import msgspec


class Point(msgspec.Struct, frozen=True):
    """One batch that was measured."""

    micro_batch: int  # rows, or bins of max_length where they are packed
    tokens: int  # real ones of the heaviest batch of that many rows
    peak_bytes: int  # as a run reports it: resident memory, or on a GPU what torch allocated
    step_s: float  # of one pass forward and back, its share in the optimizer's step included
    device_bytes: int = 0  # on a GPU with torch's reserve and the driver's context


class Fix(msgspec.Struct, frozen=True):
    """A way to less memory."""

    options: dict[str, Any]  # dotted name: value
    words: str
    saves_bytes: int
    measured: bool  # else estimated


class Probe(msgspec.Struct, frozen=True):
    """What came of one probe."""

    device: str  # its name
    peak_bytes: int  # at the batch that is configured; extrapolated where it was not measured
    free_bytes: int  # when the probe began
    fits: bool
    tokens_per_s: float | None  # at the heaviest batch; None where no batch fitted
    seconds: float | None  # of the whole run, without evaluations and saving
    largest_batch: int | None  # rows that fit by the line through the points
    points: list[Point]
    fixes: list[Fix]
    made: float  # seconds since the epoch
    words: str = ""  # what didn't fit, or wasn't tried, and why
