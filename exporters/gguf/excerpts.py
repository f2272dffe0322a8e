"""Some rows of every tensor of a GGUF file beside those that should be in it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.contract import Excerpt
from exporters.gguf.prepare import Prepared, Tensor
from exporters.weights.merge import Merged

if TYPE_CHECKING:
    import numpy as np

ROWS = 16  # of a matrix, from its middle
FLOAT_BITS = {"F32": 20, "F16": 11, "BF16": 8}  # that a number keeps, its order of sums aside


def excerpts(prepared: Prepared, path: Path) -> Iterator[Excerpt]:
    """Of stacked experts the first and the last. Tensors that are computed are not looked at."""
    from gguf import GGML_QUANT_SIZES, GGUFReader
    from gguf.quants import dequantize

    stored = {tensor.name: tensor for tensor in GGUFReader(path).tensors}
    base = prepared.merged.untuned()
    for tensor in prepared.tensors:
        there = stored.get(tensor.name)
        for part in sorted({0, len(tensor.sources) - 1}):
            source = tensor.sources[part]
            start, stop = _rows(prepared, tensor, source)
            wanted = _convert(prepared, prepared.merged, source, start, stop)
            before = None
            if base is not None and base.shapes.get(source) == prepared.merged.shapes[source]:
                before = _convert(prepared, base, source, start, stop)
            if there is None:
                yield Excerpt(tensor.name, 0, wanted, before, None)
                continue
            kind = there.tensor_type
            data = there.data[part] if len(tensor.sources) > 1 else there.data
            found = dequantize(data[start:stop], kind).reshape(wanted.shape)
            values, size = GGML_QUANT_SIZES[kind]
            bits = FLOAT_BITS.get(kind.name, math.floor(8 * size / values))
            yield Excerpt(tensor.name, bits, wanted, before, found)


def _rows(prepared: Prepared, tensor: Tensor, source: str) -> tuple[int, int]:
    """Which rows: some of the middle that can be converted together, else all."""
    if not prepared.merged.divisible(source):
        return 0, tensor.rows
    together = prepared.family.together(source, prepared.merged.config)
    count = min(tensor.rows, -(-ROWS // together) * together)
    start = (tensor.rows - count) // 2 // together * together
    return start, start + count


def _convert(prepared: Prepared, merged: Merged, source: str, start: int, stop: int) -> np.ndarray:
    """Rows as llama.cpp wants them, float32."""
    values = merged.rows(source, start, stop)
    return prepared.family.convert(source, values, prepared.merged.config)
