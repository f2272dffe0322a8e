"""Rows of float32 as blocks of a ggml type, by ggml itself.

The library lies in the llama_cpp package; only its quantizer is called, so no model is loaded and
no file is needed in between. A call works on the thread that makes it and lets others run.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import AfinaError
from exporters.gguf.types import BLOCKS

if TYPE_CHECKING:
    import numpy as np

CHUNK_VALUES = 1 << 17  # of one call: a tenth of a millisecond to a quarter of a second, by type


def encode(
    values: np.ndarray,
    kind: str,
    importance: np.ndarray | None = None,
    check: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """(rows, columns) in float32 as uint8 (rows, bytes of a row).

    importance: of each column, float32. `check` is called now and then and may raise.
    """
    import numpy as np

    rows, columns = values.shape
    count, size = BLOCKS[kind]
    source = np.ascontiguousarray(values, dtype=np.float32)
    result = np.empty((rows, columns // count * size), dtype=np.uint8)
    step = max(1, CHUNK_VALUES // columns)
    for start in range(0, rows, step):
        check()
        _quantize(source[start : start + step], result[start : start + step], kind, importance)
    return result


def _quantize(
    source: np.ndarray, result: np.ndarray, kind: str, importance: np.ndarray | None
) -> None:
    library, kinds = _library()
    written = library.ggml_quantize_chunk(
        kinds[kind],
        source.ctypes.data,
        result.ctypes.data,
        0,
        *source.shape,
        None if importance is None else importance.ctypes.data,
    )
    if written != result.size:
        raise AfinaError(
            f"ggml wrote {written:,} bytes of {kind} instead of {result.size:,}.",
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
