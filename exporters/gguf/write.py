"""Writing GGUF files, several types from one pass over the weights.

One merged tensor is in memory at a time, with its bytes in one type. All tensor infos come first,
then the data; nothing is renamed here.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from core.errors import AfinaError
from exporters.exporter import Progress
from exporters.gguf.header import begin
from exporters.gguf.prepare import Prepared
from exporters.gguf.quantize import Quantizer
from exporters.gguf.types import TYPES, Type

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGUFWriter

LARGEST_F16 = 65504.0


def write_gguf(prepared: Prepared, outputs: dict[str, Path], progress: Progress) -> None:
    """Writes one file per type name in `outputs`. Raises AfinaError for weights that don't fit."""
    extra = prepared.family.extra_tensors(prepared.merged.config)
    files = [_begin(prepared, TYPES[name], path) for name, path in outputs.items()]
    total, done = sum(math.prod(t.shape) for t in prepared.tensors), 0
    at = ""

    def check() -> None:
        progress(at, done * 4, total * 4, "bytes")

    try:
        with Quantizer(check) as quantizer:
            for tensor in prepared.tensors:
                at = tensor.name
                check()
                values = prepared.merged.read(tensor.source)
                values = prepared.family.convert(tensor.source, values, prepared.merged.config)
                _write_tensor(files, tensor.name, values, quantizer)
                done += values.size
        for values in extra.values():
            for file in files:
                file.writer.write_tensor_data(values)
        progress("weights", total * 4, total * 4, "bytes")
    finally:
        for file in files:
            close(file.writer)


class _File(NamedTuple):
    """An open file and the ggml type of each of its tensors."""

    writer: GGUFWriter
    kinds: dict[str, str]


def _write_tensor(files: list[_File], name: str, values: np.ndarray, quantizer: Quantizer) -> None:
    largest = float(max(values.max(), -values.min()))
    if not math.isfinite(largest):
        raise AfinaError(
            f'The tensor "{name}" holds a value that is not a number.',
            "The training diverged: export an earlier checkpoint (RUN@STEP).",
        )
    for kind in dict.fromkeys(file.kinds[name] for file in files):
        if kind == "F16" and largest > LARGEST_F16:
            raise AfinaError(
                f'The tensor "{name}" holds {largest:g}, and f16 ends at {LARGEST_F16:g}.',
                "Export to bf16 or f32.",
            )
        encoded = _encode(values, kind, quantizer)
        for file in files:
            if file.kinds[name] == kind:
                file.writer.write_tensor_data(encoded)


def _begin(prepared: Prepared, wanted: Type, path: Path) -> _File:
    kinds = prepared.kinds(wanted)
    return _File(begin(prepared, wanted, path, kinds), kinds)


def _encode(values: np.ndarray, kind: str, quantizer: Quantizer) -> np.ndarray:
    import numpy as np

    if kind in ("F16", "F32"):
        return values.astype(np.float16 if kind == "F16" else np.float32, copy=False)
    if kind == "BF16":
        from gguf import GGMLQuantizationType, quantize

        return quantize(values, GGMLQuantizationType.BF16)
    return quantizer.encode(values, kind)


def close(writer: GGUFWriter) -> None:
    """Closes the file after its bytes have reached the disk."""
    for file in writer.fout or []:
        file.flush()
        os.fsync(file.fileno())
    writer.close()
