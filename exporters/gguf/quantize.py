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

    if kind == "F16":
        return _halves(values)
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


def _halves(values: np.ndarray) -> np.ndarray:
    """float16, by what the processor has for it: ggml-base's own loop takes 20 ns a value, numpy 2,
    ggml-cpu 0.2, and all round to the nearest.
    """
    import numpy as np

    convert = _half_converter()
    if convert is None:
        return values.astype(np.float16).view(np.uint8)
    source = np.ascontiguousarray(values, dtype=np.float32)
    result = np.empty(values.shape, dtype=np.float16)
    convert(source.ctypes.data, result.ctypes.data, source.size)
    return result.view(np.uint8)


@cache
def _half_converter() -> Any:
    """ggml-cpu's function, where it is built as one library."""
    import llama_cpp

    for path in sorted((Path(llama_cpp.__file__).parent / "lib").glob("*ggml-cpu.*")):
        function = getattr(ctypes.CDLL(str(path)), "ggml_cpu_fp32_to_fp16", None)
        if function is not None:
            function.restype = None
            function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
            return function
    return None


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
