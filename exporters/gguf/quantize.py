"""Rows of float32 as blocks of a ggml type, by ggml itself, on all cores.

The library lies in the llama_cpp package; only its quantizer is called, so no model is loaded and
no file is needed in between.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import AfinaError
from exporters.gguf.types import BLOCKS

if TYPE_CHECKING:
    import numpy as np

CHUNK_VALUES = 1 << 19  # of one call: some milliseconds to half a second, by type


class Quantizer:
    """Quantizes tensors; keeps threads for them. `check` is called between chunks and may raise."""

    def __init__(self, check: Callable[[], None] = lambda: None) -> None:
        self._check = check
        self._threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="quantize")
        self._library, self._kinds = _library()

    def __enter__(self) -> Quantizer:
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def encode(self, values: np.ndarray, kind: str) -> np.ndarray:
        """(rows..., columns) in float32 as uint8 (rows..., bytes of a row)."""
        import numpy as np

        columns = values.shape[-1]
        rows = values.size // columns
        count, size = BLOCKS[kind]
        row_bytes = columns // count * size
        source = np.ascontiguousarray(values, dtype=np.float32).reshape(rows, columns)
        result = np.empty((rows, row_bytes), dtype=np.uint8)
        step = max(1, CHUNK_VALUES // columns)
        work = [
            self._pool.submit(self._chunk, source, result, start, min(step, rows - start), kind)
            for start in range(0, rows, step)
        ]
        try:
            for future in work:
                future.result()
                self._check()
        except BaseException:
            for future in work:
                future.cancel()
            raise
        return result.reshape(*values.shape[:-1], row_bytes)

    def _chunk(
        self, source: np.ndarray, result: np.ndarray, start: int, rows: int, kind: str
    ) -> None:
        written = self._library.ggml_quantize_chunk(
            self._kinds[kind],
            source[start:].ctypes.data,
            result[start:].ctypes.data,
            0,
            rows,
            source.shape[1],
            None,
        )
        if written != rows * result.shape[1]:
            raise AfinaError(
                f"ggml wrote {written:,} bytes of {kind} instead of {rows * result.shape[1]:,}.",
                "This llama-cpp-python is another version than Afina knows: `afina doctor`.",
            )


@cache
def _library() -> tuple[Any, dict[str, int]]:
    """ggml's quantizer and its numbers of the types."""
    import llama_cpp
    from gguf import GGMLQuantizationType

    folder = Path(llama_cpp.__file__).parent / "lib"
    found = sorted(folder.glob("*ggml-base*"), key=lambda path: len(path.name))
    if not found:
        raise AfinaError(
            f'There is no ggml library in "{folder}".', "Install llama-cpp-python again."
        )
    library = ctypes.CDLL(str(found[0]))
    function = library.ggml_quantize_chunk
    function.restype = ctypes.c_size_t
    function.argtypes = [
        ctypes.c_int,
        ctypes.c_void_p,  # float32, (rows, columns)
        ctypes.c_void_p,
        ctypes.c_int64,  # first value
        ctypes.c_int64,  # rows
        ctypes.c_int64,  # columns
        ctypes.c_void_p,  # importance of each column, or null
    ]
    kinds = {kind.name: int(kind) for kind in GGMLQuantizationType if kind.name in BLOCKS}
    return library, kinds
