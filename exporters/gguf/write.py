"""Writing GGUF files, several types from one pass over the weights.

All tensor infos come first, then the data in the order in which stream.py makes it; nothing is
renamed here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from core.errors import AfinaError
from exporters.contract import Progress
from exporters.gguf.header import begin
from exporters.gguf.importance import Importance
from exporters.gguf.mixes import needs_importance
from exporters.gguf.prepare import Prepared
from exporters.gguf.stream import Form, Stream
from exporters.gguf.types import ALIGNMENT, TYPES, UNWEIGHTED
from exporters.weights.flush import Flush

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGUFWriter


def write_gguf(
    prepared: Prepared,
    outputs: dict[str, Path],
    progress: Progress,
    importance: Importance | None = None,
    threads: int | None = None,
) -> None:
    """Writes one file per type name in `outputs`.

    importance: of the matrices' columns. threads: that work, all cores by default.
    Raises AfinaError for weights that don't fit, and for a type that needs importance where there
    is none.
    """
    extra = prepared.family.extra_tensors(prepared.merged.config)
    files: list[_File] = []
    total, done, at = sum(math.prod(t.shape) for t in prepared.tensors), 0, ""

    def check() -> None:
        progress(at, done * 4, total * 4, "bytes")

    try:
        for name, path in outputs.items():
            files.append(_begin(prepared, name, path, importance))
        forms = {
            tensor.name: {file.forms[tensor.name] for file in files} for tensor in prepared.tensors
        }
        columns = importance.columns if importance else {}
        blocks = Stream(prepared, forms, columns, check, threads).made()
        with Flush([file.data for file in files]) as flush, closing(blocks):
            for block, encoded in blocks:
                at = block.tensor.name
                for file in files:
                    values = encoded[file.forms[at]]
                    file.add(values, block.last)
                    flush.wrote(values.nbytes)
                done += block.values
        for values in extra.values():
            for file in files:
                file.add(values, last=True)
        progress("weights", total * 4, total * 4, "bytes")
    except BaseException:
        for file in files:
            file.writer.close()
        raise
    for file in files:
        close(file.writer)


class _File(NamedTuple):
    """An open file at the place of its next data."""

    writer: GGUFWriter
    forms: Mapping[str, Form]  # of each tensor, by GGUF name

    @property
    def data(self) -> BinaryIO:
        assert self.writer.fout is not None
        return self.writer.fout[0]

    def add(self, values: np.ndarray, last: bool) -> None:
        """More of a tensor; after its last part comes what aligns the next."""
        self.data.write(values.data)
        if last:
            self.align()

    def align(self) -> None:
        self.data.write(bytes(-self.data.tell() % ALIGNMENT))


def _begin(prepared: Prepared, name: str, path: Path, importance: Importance | None) -> _File:
    """A file with all that stands before its data."""
    wanted = TYPES[name]
    everywhere = importance is not None and importance.everywhere and wanted.quantized
    kinds = prepared.kinds(wanted, everywhere)
    forms = {}
    for tensor, kind in kinds.items():
        known = importance is not None and tensor in importance.columns
        if needs_importance(tensor, kind) and not known:
            raise AfinaError(
                f'The type {name} needs the importance of the columns of "{tensor}", and there is '
                "none.",
                "Choose q2_k or larger, or give a text to collect it on: --imatrix FILE.",
            )
        weighs = everywhere or wanted.needs_importance
        forms[tensor] = Form(kind, weighs and known and kind not in UNWEIGHTED)
    used = importance if any(form.weighted for form in forms.values()) else None
    file = _File(begin(prepared, wanted, path, kinds, used), forms)
    file.align()
    return file


def close(writer: GGUFWriter) -> None:
    """Closes a file after its bytes have reached the disk."""
    for file in writer.fout or []:
        file.flush()
        os.fsync(file.fileno())
    writer.close()
