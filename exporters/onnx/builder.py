"""Building ONNX models in a process of their own, which a cancel kills."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from exporters.exporter import Working
from exporters.job.aside import run_aside
from exporters.onnx.build_worker import Order, work


def build(orders: Sequence[Order], working: Working) -> None:
    """Builds each order into its folder, which must not be there yet.

    Raises AfinaError with the reason where a model can't be built.
    """

    def report(type_name: str, name: str, done: int, total: int) -> None:
        working.progress(f"{type_name} {name}", done, total, "bytes")

    run_aside(work, ([msgspec.to_builtins(order) for order in orders],), report, working.check)
