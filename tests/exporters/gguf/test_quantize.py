"""A quantized file is, byte for byte, the one that llama.cpp's own quantizer makes."""

from __future__ import annotations

import ctypes
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader
from tests.exporters.test_families import SHAPE, make_model

from core.targets import Target
from exporters.gguf.prepare import prepare
from exporters.gguf.quantize import Quantizer
from exporters.gguf.types import TYPES
from exporters.gguf.write import write_gguf

LAYERS = 17  # so that every rule about first, last and third layers applies
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {"hidden_size": 256, "intermediate_size": 512}),
    "llama with odd rows": ("Llama", {"hidden_size": 96, "intermediate_size": 288}),
    "qwen2, eight heads on a key": (
        "Qwen2",
        {"hidden_size": 256, "num_attention_heads": 8, "num_key_value_heads": 1},
    ),
    "phi3": ("Phi3", {"hidden_size": 256, "intermediate_size": 256}),
    "gemma3, tied": (
        "Gemma3Text",
        {"hidden_size": 256, "intermediate_size": 256, "head_dim": 64, "query_pre_attn_scalar": 64},
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_files_equal_those_of_llama_cpps_quantizer(tmp_path: Path, name: str) -> None:
    family, options = MODELS[name]
    make_model(tmp_path, family, SHAPE | {"num_hidden_layers": LAYERS} | options)
    prepared = prepare(Target("x", "hf", str(tmp_path), label="x"))
    types = [key for key, value in TYPES.items() if value.quantized]
    files = {key: tmp_path / f"{key}.gguf" for key in [*types, "f32"]}
    write_gguf(prepared, files, lambda *values: None)
    for key in types:
        theirs = tmp_path / "theirs.gguf"
        llama_cpp_quantize(files["f32"], theirs, TYPES[key].file_type)
        assert tensors(files[key]) == tensors(theirs), key
        theirs.unlink()


def test_what_a_check_raises_ends_a_tensor_in_the_middle() -> None:
    calls: list[int] = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    values = np.ones((64, 1 << 17), dtype=np.float32)
    with Quantizer(check) as quantizer, pytest.raises(KeyboardInterrupt):
        quantizer.encode(values, "Q8_0")
    assert len(calls) == 3


def tensors(path: Path) -> dict[str, tuple[str, str]]:
    """By name: the type and a hash of the bytes."""
    return {
        tensor.name: (tensor.tensor_type.name, hashlib.sha256(tensor.data.tobytes()).hexdigest())
        for tensor in GGUFReader(path).tensors
    }


def llama_cpp_quantize(source: Path, destination: Path, file_type: int) -> None:
    import llama_cpp

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.nthread = file_type, 1
    words = (str(source).encode(), str(destination).encode())
    assert llama_cpp.llama_model_quantize(*words, ctypes.pointer(params)) == 0
