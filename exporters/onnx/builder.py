"""Writing ONNX folders: the graph in a process of its own, which a cancel kills; the rest here."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from exporters.contract import Working
from exporters.isolated import run_aside
from exporters.onnx.build_worker import Order, work
from exporters.onnx.config import Companion, finish
from exporters.onnx.source import write_source


def write_folders(model: Companion, outputs: dict[str, Path], working: Working) -> None:
    """Writes a model in each type to its folder, which must not be there yet.

    Raises AfinaError with the reason where it can't be built.
    """
    merged = model.merged
    with tempfile.TemporaryDirectory(dir=working.scratch) as scratch:
        source = Path(scratch) / "source"
        write_source(source, merged)
        adapter = str(merged.adapter.folder) if merged.adapter else None
        build(
            [
                Order(str(merged.folder), adapter, str(source), str(path), type_name)
                for type_name, path in outputs.items()
            ],
            working,
        )
    for type_name, path in outputs.items():
        working.check()
        finish(path, model, type_name)


def build(orders: Sequence[Order], working: Working) -> None:
    """Builds the graph of each order, one after the other."""

    def report(type_name: str, name: str, done: int, total: int) -> None:
        working.progress(f"{type_name} {name}", done, total, "bytes")

    run_aside(work, ([msgspec.to_builtins(order) for order in orders],), report, working.check)
