"""A quantized file is, byte for byte, the one that llama.cpp's own quantizer makes."""

from __future__ import annotations

import ctypes
import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader

from core.errors import AfinaError
from core.runs.target import Target
from exporters.gguf.importance import Importance
from exporters.gguf.prepare import Prepared, prepare
from exporters.gguf.quantize import CHUNK_VALUES, encode
from exporters.gguf.types import TYPES
from exporters.gguf.write import write_gguf
from tests.exporters.families import SHAPE, make_model

LAYERS = 17  # so that every rule about first, last and third layers applies
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {"hidden_size": 256, "intermediate_size": 256}),
    "llama with odd rows": ("Llama", {"hidden_size": 96, "intermediate_size": 288}),
    "qwen2, eight heads on a key": (
        "Qwen2",
        {"hidden_size": 256, "num_attention_heads": 8, "num_key_value_heads": 1},
    ),
    "qwen2, eighty layers": (
        "Qwen2",
        {
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "num_hidden_layers": 80,
        },
    ),
    "phi3": ("Phi3", {"hidden_size": 256, "intermediate_size": 256}),
    "gemma3, tied": (
        "Gemma3Text",
        {"hidden_size": 256, "intermediate_size": 256, "head_dim": 64, "query_pre_attn_scalar": 64},
    ),
    "mixtral, eight experts": (
        "Mixtral",
        {"hidden_size": 256, "intermediate_size": 32, "num_local_experts": 8},
    ),
    "qwen3moe, five experts": (
        "Qwen3Moe",
        {
            "hidden_size": 256,
            "moe_intermediate_size": 32,
            "num_experts": 5,
            "num_experts_per_tok": 2,
            "norm_topk_prob": True,
        },
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_gets_the_type_that_llama_cpp_gives_it(tmp_path: Path, name: str) -> None:
    prepared = a_model(tmp_path, name)
    write_gguf(prepared, {"f32": tmp_path / "f32.gguf"}, lambda *values: None)
    columns = some_importance(prepared)
    for key, wanted in TYPES.items():
        if wanted.quantized:
            for known in (False, True):
                needed = known or wanted.needs_importance
                theirs = their_types(tmp_path, key, columns if needed else None)
                assert prepared.kinds(wanted, known) == theirs, (key, known)


@pytest.mark.parametrize("name", ["gemma3, tied", "llama with odd rows", "mixtral, eight experts"])
def test_files_equal_those_of_llama_cpps_quantizer(tmp_path: Path, name: str) -> None:
    prepared = a_model(tmp_path, name, layers=1)
    check_files(tmp_path, prepared, ["q8_0", "q4_k_m", "q3_k_m", "iq4_xs"], None)
    importance = Importance(some_importance(prepared), True, 1, 1, "x")
    check_files(tmp_path, prepared, ["iq2_xxs", "iq3_xxs", "q4_0"], importance)


def test_importance_is_used_where_it_is_needed_and_elsewhere_only_if_asked_for(
    tmp_path: Path,
) -> None:
    prepared = a_model(tmp_path, "llama", layers=2)
    files = {key: tmp_path / f"{key}.gguf" for key in ("iq2_xxs", "q2_k", "f32")}
    importance = Importance(some_importance(prepared), False, 1, 1, "x")
    write_gguf(prepared, files, lambda *values: None, importance)
    assert tensors(files["q2_k"]) == theirs(tmp_path, "q2_k")
    assert tensors(files["iq2_xxs"]) == theirs(tmp_path, "iq2_xxs", importance.columns)


def test_a_type_that_needs_importance_is_refused_without(tmp_path: Path) -> None:
    prepared = a_model(tmp_path, "llama", layers=1)
    with pytest.raises(AfinaError, match=r'importance of the columns of "blk.0') as caught:
        write_gguf(prepared, {"iq3_xxs": tmp_path / "x.gguf"}, lambda *values: None)
    assert "--imatrix" in caught.value.hint


def test_importance_lessens_the_error_that_it_weighs() -> None:
    numbers = np.random.default_rng(0)
    values = numbers.standard_normal((64, 512), dtype=np.float32)
    importance = np.exp(2 * numbers.standard_normal(512)).astype(np.float32)

    def error(kind: str, weights: np.ndarray) -> float:
        found = decoded(encode(values, kind, weights), kind)
        return float(((found - values) ** 2 @ importance).sum())

    for kind in ("IQ2_XXS", "Q2_K", "IQ3_XXS", "Q4_K"):
        assert error(kind, importance) < 0.9 * error(kind, np.ones_like(importance)), kind


def test_what_a_check_raises_ends_a_tensor_in_the_middle() -> None:
    calls: list[int] = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    values = np.ones((8, CHUNK_VALUES), dtype=np.float32)
    with pytest.raises(KeyboardInterrupt):
        encode(values, "Q8_0", check=check)
    assert len(calls) == 3


def check_files(
    folder: Path, prepared: Prepared, types: list[str], importance: Importance | None
) -> None:
    files = {key: folder / f"{key}.gguf" for key in [*types, "f32"]}
    write_gguf(prepared, files, lambda *values: None, importance)
    for key in types:
        columns = importance.columns if importance else None
        assert tensors(files[key]) == theirs(folder, key, columns), key


def a_model(folder: Path, name: str, layers: int = LAYERS) -> Prepared:
    family, options = MODELS[name]
    make_model(folder, family, SHAPE | {"num_hidden_layers": layers} | options)
    return prepare(Target("x", "hf", str(folder), label="x"))


def some_importance(prepared: Prepared) -> dict[str, np.ndarray]:
    """Of all matrices but the first, as llama.cpp collects it."""
    numbers = np.random.default_rng(0)
    shapes = {t.name: t.shape for t in prepared.tensors if len(t.shape) > 1}
    return {
        name: np.exp(numbers.standard_normal((*shape[:-2], shape[-1]))).astype(np.float32)
        for name, shape in shapes.items()
        if name != "token_embd.weight"
    }


def tensors(path: Path) -> dict[str, tuple[str, str]]:
    """By name: the type and a hash of the bytes."""
    return {
        tensor.name: (tensor.tensor_type.name, hashlib.sha256(tensor.data.tobytes()).hexdigest())
        for tensor in GGUFReader(path).tensors
    }


def theirs(
    folder: Path, key: str, importance: dict[str, np.ndarray] | None = None
) -> dict[str, tuple[str, str]]:
    """What llama.cpp makes of the f32 file in a folder."""
    path = folder / "theirs.gguf"
    llama_cpp_quantize(folder / "f32.gguf", path, TYPES[key].file_type, importance)
    found = tensors(path)
    path.unlink()
    return found


def their_types(folder: Path, key: str, importance: dict[str, np.ndarray] | None) -> dict[str, str]:
    """The types that llama.cpp would give the tensors of the f32 file in a folder, by name."""
    import llama_cpp
    from llama_cpp._logger import llama_log_callback

    words: list[str] = []
    hear = llama_cpp.llama_log_callback(lambda level, text, data: words.append(text.decode()))
    llama_cpp.llama_log_set(hear, ctypes.c_void_p(0))
    try:
        llama_cpp_quantize(folder / "f32.gguf", None, TYPES[key].file_type, importance)
    finally:
        llama_cpp.llama_log_set(llama_log_callback, ctypes.c_void_p(0))
    lines = re.findall(
        r"\] (\S+) +- \[.*\], type = +(\w+), .*?(?:\((\w+)\))?$", "".join(words), re.M
    )
    return {name: (made or stored).upper() for name, stored, made in lines}


def llama_cpp_quantize(
    source: Path,
    destination: Path | None,
    file_type: int,
    importance: dict[str, np.ndarray] | None = None,
) -> None:
    """Without a destination it only says what it would do."""
    import llama_cpp

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.nthread, params.dry_run = file_type, 1, destination is None
    if importance:
        kind = llama_cpp.llama_model_imatrix_data
        rows = [
            kind(name.encode(), values.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), values.size)
            for name, values in importance.items()
        ]
        array = (kind * (len(rows) + 1))(*rows)  # a row without a name ends them
        params.imatrix = ctypes.cast(array, ctypes.POINTER(kind))
    words = (str(source).encode(), str(destination or "nowhere").encode())
    assert llama_cpp.llama_model_quantize(*words, ctypes.pointer(params)) == 0


def decoded(encoded: np.ndarray, kind: str) -> np.ndarray:
    from gguf import GGMLQuantizationType, dequantize

    return dequantize(encoded, GGMLQuantizationType[kind])
