"""onnxruntime-genai by its C functions (ort_genai_c.h, 0.18), which let other threads go on.

Its Python calls hold the interpreter's lock: while they read a long prompt no cancel could come in.
What has to be destroyed is owned by Model and Generator; a failed call raises OgaError.
"""

from __future__ import annotations

import ctypes
import importlib
import json
from collections.abc import Sequence
from ctypes import POINTER, c_char_p, c_double, c_int, c_int32, c_int64, c_size_t, c_void_p
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import AfinaError

if TYPE_CHECKING:
    import numpy as np

OUT = POINTER(c_void_p)
SIGNATURES: dict[str, tuple[Any, ...]] = {  # of the functions that return an OgaResult
    "OgaCreateConfig": (c_char_p, OUT),
    "OgaConfigClearProviders": (c_void_p,),
    "OgaConfigOverlay": (c_void_p, c_char_p),
    "OgaCreateModelFromConfig": (c_void_p, OUT),
    "OgaCreateGeneratorParams": (c_void_p, OUT),
    "OgaGeneratorParamsSetSearchNumber": (c_void_p, c_char_p, c_double),
    "OgaCreateGenerator": (c_void_p, c_void_p, OUT),
    "OgaGenerator_AppendTokens": (c_void_p, POINTER(c_int32), c_size_t),
    "OgaGenerator_GetLogits": (c_void_p, OUT),
    "OgaGenerator_GetOutput": (c_void_p, c_char_p, OUT),
    "OgaGenerator_RewindTo": (c_void_p, c_size_t),
    "OgaGenerator_SetRuntimeOption": (c_void_p, c_char_p, c_char_p),
    "OgaCreateAdapters": (c_void_p, OUT),
    "OgaLoadAdapter": (c_void_p, c_char_p, c_char_p),
    "OgaSetActiveAdapter": (c_void_p, c_void_p, c_char_p),
    "OgaTensorGetType": (c_void_p, POINTER(c_int)),
    "OgaTensorGetShapeRank": (c_void_p, POINTER(c_size_t)),
    "OgaTensorGetShape": (c_void_p, POINTER(c_int64), c_size_t),
    "OgaTensorGetData": (c_void_p, OUT),
}
DESTROYED = ("Config", "Model", "GeneratorParams", "Generator", "Adapters", "Tensor", "Result")
FLOAT32 = 1  # OgaElementType
VERSION = "0.18"


class OgaError(Exception):
    """What the library says of a call that failed, in one line."""


class Model:
    """A loaded model on the CPU and the adapters beside it."""

    def __init__(self, folder: Path, overlay: dict[str, Any]) -> None:
        """`overlay` is laid over genai_config.json."""
        self._model = self._adapters = None
        config = _make("OgaCreateConfig", str(folder).encode())
        try:
            _call("OgaConfigClearProviders", config)  # a folder may ask for a GPU
            _call("OgaConfigOverlay", config, json.dumps(overlay).encode())
            self._model = _make("OgaCreateModelFromConfig", config)
            self._adapters = _make("OgaCreateAdapters", self._model)
        except BaseException:
            self.close()
            raise
        finally:
            _destroy("Config", config)

    def add_adapter(self, path: str) -> None:
        """Loads an .onnx_adapter file; generators know it by its path."""
        _call("OgaLoadAdapter", self._adapters, path.encode(), path.encode())

    def generator(self, max_length: int, adapter: str | None) -> Generator:
        """An empty one for so many tokens; to be closed before the model is."""
        params = _make("OgaCreateGeneratorParams", self._model)
        try:
            for name, value in (("max_length", max_length), ("num_beams", 1), ("batch_size", 1)):
                _call("OgaGeneratorParamsSetSearchNumber", params, name.encode(), value)
            made = Generator(_make("OgaCreateGenerator", self._model, params))
        finally:
            _destroy("GeneratorParams", params)
        if adapter is not None:
            try:
                made.use(self._adapters, adapter)
            except OgaError:
                made.close()
                raise
        return made

    def close(self) -> None:
        _destroy("Adapters", self._adapters)
        _destroy("Model", self._model)
        self._model = self._adapters = None


class Generator:
    """What a model has read."""

    def __init__(self, pointer: Any) -> None:
        self._pointer = pointer

    def use(self, adapters: Any, name: str) -> None:
        _call("OgaSetActiveAdapter", self._pointer, adapters, name.encode())

    def append(self, ids: Sequence[int]) -> None:
        _call("OgaGenerator_AppendTokens", self._pointer, (c_int32 * len(ids))(*ids), len(ids))

    def last_logits(self) -> np.ndarray:
        """After the last token, f32 (vocabulary,)."""
        return _array(_make("OgaGenerator_GetLogits", self._pointer)).reshape(-1)

    def all_logits(self) -> np.ndarray:
        """After each token of the last append, f32 (tokens, vocabulary)."""
        return _array(_make("OgaGenerator_GetOutput", self._pointer, b"logits"))[0]

    def rewind(self, length: int) -> None:
        """Forgets all tokens but the first ones."""
        _call("OgaGenerator_RewindTo", self._pointer, length)

    def stop(self) -> None:
        """Makes the append that another thread is in fail; the generator is of no use afterwards"""
        _call("OgaGenerator_SetRuntimeOption", self._pointer, b"terminate_session", b"1")

    def close(self) -> None:
        _destroy("Generator", self._pointer)
        self._pointer = None


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """The library, once for this process: silent, and telling nobody what it does.

    Raises AfinaError where it is not installed, or has other functions.
    """
    try:
        og: Any = importlib.import_module("onnxruntime_genai")
    except ImportError as error:
        raise AfinaError(
            "ONNX models are answered by onnxruntime-genai, which can't be loaded here.",
            "Install it: pip install onnxruntime-genai.",
        ) from error
    og.disable_telemetry_events()
    og.set_log_options(enabled=False, ansi_tags=False)
    try:
        return _bound(Path(og.__file__).parent)
    except AttributeError as error:
        raise AfinaError(
            f"onnxruntime-genai {og.__version__} lacks what Afina calls: {error}.",
            f"Install onnxruntime-genai {VERSION}.",
        ) from error


def _bound(folder: Path) -> ctypes.CDLL:
    """The shared library in the package's folder, its functions with their types.

    Raises AttributeError for one that it lacks.
    """
    found = sorted(folder.glob("*onnxruntime-genai.*"))
    shared = [path for path in found if path.suffix in (".so", ".dylib", ".dll")]
    if not shared:
        raise AttributeError(f'no shared library is in "{folder}"')
    c = ctypes.CDLL(str(shared[0]))
    for name, arguments in SIGNATURES.items():
        function = getattr(c, name)
        function.argtypes, function.restype = arguments, c_void_p
    for name in DESTROYED:
        function = getattr(c, f"OgaDestroy{name}")
        function.argtypes, function.restype = (c_void_p,), None
    c.OgaResultGetError.argtypes, c.OgaResultGetError.restype = (c_void_p,), c_char_p
    return c


def _call(name: str, *arguments: Any) -> None:
    c = library()
    result = getattr(c, name)(*arguments)
    if result:
        words = c.OgaResultGetError(result).decode("utf-8", errors="replace")
        c.OgaDestroyResult(result)
        raise OgaError(" ".join(words.split())[:300].rstrip("."))


def _make(name: str, *arguments: Any) -> c_void_p:
    """A call whose last argument takes a pointer to what it makes."""
    made = c_void_p()
    _call(name, *arguments, ctypes.byref(made))
    return made


def _destroy(kind: str, pointer: Any) -> None:
    if pointer is not None:
        getattr(library(), f"OgaDestroy{kind}")(pointer)


def _array(tensor: c_void_p) -> np.ndarray:
    """A copy of a float32 tensor, which is destroyed."""
    import numpy as np

    try:
        kind, rank = c_int(), c_size_t()
        _call("OgaTensorGetType", tensor, ctypes.byref(kind))
        if kind.value != FLOAT32:
            raise OgaError("its logits are not float32")
        _call("OgaTensorGetShapeRank", tensor, ctypes.byref(rank))
        shape = (c_int64 * rank.value)()
        _call("OgaTensorGetShape", tensor, shape, rank.value)
        data = ctypes.cast(_make("OgaTensorGetData", tensor), POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(data, shape=tuple(shape)).copy()
    finally:
        _destroy("Tensor", tensor)
