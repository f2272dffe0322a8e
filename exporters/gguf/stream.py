"""The tensors of a file in blocks of rows, merged and encoded on all cores, handed over in order.

A block goes from the disk to its bytes on one thread, in the processor's cache; only a few blocks
are in memory at once, however large the tensors are. What a block becomes doesn't depend on how
many threads there are, nor on which other types are made from it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from core.environment import usable_cores
from core.errors import AfinaError
from exporters.gguf.prepare import Prepared, Tensor
from exporters.gguf.quantize import encode
from exporters.weights.prefetch import AHEAD, in_order

if TYPE_CHECKING:
    import numpy as np

BLOCK_VALUES = 1 << 19  # twice as many, and the system takes back and clears the memory of each
LARGEST_F16 = 65504.0


class Form(NamedTuple):
    """How a tensor is encoded for a file."""

    kind: str  # of ggml
    weighted: bool = False  # by the importance of its columns


class Block(NamedTuple):
    """Rows of a tensor that are read, merged and encoded together."""

    tensor: Tensor
    part: int  # which expert, in a tensor of several matrices; else 0
    start: int  # row of this part
    stop: int

    @property
    def values(self) -> int:
        return (self.stop - self.start) * self.tensor.columns

    @property
    def last(self) -> bool:
        """Whether the tensor ends with it."""
        return (self.part, self.stop) == (len(self.tensor.sources) - 1, self.tensor.rows)


class Made(NamedTuple):
    """A block in the forms that were asked for."""

    block: Block
    encoded: dict[Form, np.ndarray]  # uint8


class Stream:
    """Makes blocks of a prepared model. `check` is called several times a second and may raise."""

    def __init__(
        self,
        prepared: Prepared,
        forms: Mapping[str, set[Form]],
        importance: Mapping[str, np.ndarray],
        check: Callable[[], None],
        threads: int | None = None,
    ) -> None:
        """forms, importance: by GGUF name. threads: all cores by default."""
        self._prepared = prepared
        self._forms = forms
        self._importance = importance
        self._check = check
        self._ended = threading.Event()
        self._threads = threads or usable_cores()

    def made(self) -> Generator[Made]:
        """Every block of every tensor, in order."""
        tasks = (partial(self._make, block) for block in blocks(self._prepared))
        return in_order(tasks, self._threads, self._check, self._ended.set)

    def _make(self, block: Block) -> Made:
        tensor = block.tensor
        values = _read(self._prepared, block)
        largest = float(max(values.max(), -values.min()))
        if not math.isfinite(largest):
            raise AfinaError(
                f'The tensor "{tensor.name}" holds a value that is not a number.',
                "The training diverged: export an earlier checkpoint (RUN@STEP).",
            )
        encoded = {}
        for form in self._forms[tensor.name]:
            if form.kind == "F16" and largest > LARGEST_F16:
                raise AfinaError(
                    f'The tensor "{tensor.name}" holds {largest:g}, and f16 ends at '
                    f"{LARGEST_F16:g}.",
                    "Export to bf16 or f32.",
                )
            encoded[form] = self._encode(values, form, block)
        return Made(block, encoded)

    def _encode(self, values: np.ndarray, form: Form, block: Block) -> np.ndarray:
        if form.kind == "F32":
            return values
        importance = None
        if form.weighted:
            columns = self._importance[block.tensor.name]
            importance = columns[block.part] if columns.ndim > 1 else columns
        return encode(values, form.kind, importance, self._check_ended)

    def _check_ended(self) -> None:
        if self._ended.is_set():
            raise InterruptedError("The export has ended.")


def memory_bytes(prepared: Prepared) -> int:
    """What the blocks at work and those that wait take at most."""
    largest = max(_step(prepared, tensor) * tensor.columns for tensor in prepared.tensors)
    # the stored bytes, float32 of them, the delta or a copy in GGUF's order, and the results
    threads = usable_cores()
    return largest * (threads * 12 + (threads + AHEAD) * 4)


def blocks(prepared: Prepared) -> Iterator[Block]:
    """All tensors in blocks of about BLOCK_VALUES, none across two sources."""
    for tensor in prepared.tensors:
        step = _step(prepared, tensor)
        for part in range(len(tensor.sources)):
            for start in range(0, tensor.rows, step):
                yield Block(tensor, part, start, min(start + step, tensor.rows))


def _step(prepared: Prepared, tensor: Tensor) -> int:
    """Rows of a block of a tensor."""
    if not all(prepared.merged.divisible(source) for source in tensor.sources):
        return tensor.rows
    together = prepared.family.together(tensor.sources[0], prepared.merged.config)
    return max(1, BLOCK_VALUES // tensor.columns // together) * together


def _read(prepared: Prepared, block: Block) -> np.ndarray:
    """The merged rows of a block as llama.cpp wants them, float32 (rows, columns)."""
    source = block.tensor.sources[block.part]
    values = prepared.merged.rows(source, block.start, block.stop)
    values = prepared.family.convert(source, values, prepared.merged.config)
    return values.reshape(-1, block.tensor.columns)
