"""The straight line through what was measured: bytes by the rows of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from core.plan.probe_result import Point


class Line(msgspec.Struct, frozen=True):
    """What is there without a row, and what each row adds."""

    fixed_bytes: float  # of the device
    row_bytes: float
    fixed_peak: float  # the same of the peak as a run reports it
    row_peak: float

    @classmethod
    def through(cls, points: Sequence[Point]) -> Line | None:
        """The line through the smallest and the largest; None for one point."""
        if len(points) < 2:
            return None
        first, last = points[0], points[-1]
        rows = last.micro_batch - first.micro_batch
        each = max(0.0, (last.device_bytes - first.device_bytes) / rows)
        peak = max(0.0, (last.peak_bytes - first.peak_bytes) / rows)
        return cls(
            last.device_bytes - each * last.micro_batch,
            each,
            last.peak_bytes - peak * last.micro_batch,
            peak,
        )

    def peak(self, rows: int) -> int:
        return round(self.fixed_peak + self.row_peak * rows)

    def most_rows(self, free_bytes: float, most: int) -> int | None:
        """The largest batch that fits, no more than `most`; None where not one row does."""
        room = free_bytes - self.fixed_bytes
        if room < self.row_bytes or room <= 0:
            return None
        return min(most, int(room // self.row_bytes)) if self.row_bytes else most
