"""Some rows of every tensor of a merged folder beside those that should be in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from exporters.contract import Excerpt
from exporters.weights.merge import Merged

ROWS = 16  # of a matrix, from its middle
BITS = {"f32": 20, "f16": 11, "bf16": 8}  # that a number keeps, its order of sums aside


def excerpts(merged: Merged, type_name: str, path: Path) -> Iterator[Excerpt]:
    there, base = Merged(path), merged.untuned()
    for name, shape in merged.shapes.items():
        rows = shape[0] if shape else 1
        start = max(0, rows - ROWS) // 2 if merged.divisible(name) else 0
        stop = start + ROWS if merged.divisible(name) else rows
        place = (name, start, min(stop, rows))
        known = base is not None and base.shapes.get(name) == shape
        before = base.rows(*place) if base is not None and known else None
        found = there.rows(*place) if there.shapes.get(name) == shape else None
        yield Excerpt(name, BITS[type_name], merged.rows(*place), before, found)
