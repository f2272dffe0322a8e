"""GGUF files beside those of llama.cpp's own converter: every tensor's bytes, every key.

Not among the usual tests: `make test-reference` downloads llama-cpp-python's source (75 MB) and
sentencepiece once, by fetch.py, and runs this. $LLAMA_CPP_DIR names another llama.cpp.

Not compared: how llama.cpp tells a tokenizer by its hash (ours are random, and it is told the
answer), quantized types but q8_0 (its converter knows no more; test_quantize.py has its quantizer
for the rest), and general.* keys that come from a model card.
"""

from __future__ import annotations

import fnmatch
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader

from core.runs.target import Target
from exporters.gguf.prepare import prepare
from exporters.gguf.write import write_gguf
from tests.exporters.families import make_model
from tests.exporters.gguf.test_families import MODELS
from tests.exporters.gguf.test_write import LLAMA3
from tests.exporters.models import END, PAD
from tests.exporters.tokenizers_of import (
    BOS,
    train_sentencepiece,
    write_json,
    write_sentencepiece,
)
from tests.reference.fetch import PACKAGES, llama_cpp

pytestmark = pytest.mark.timeout(1800)

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "llama tied": ("Llama", {"tie_word_embeddings": True}),
    "llama with llama3 rope": ("Llama", {"rope_parameters": LLAMA3}),
    "llama with linear rope": (
        "Llama",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}},
    ),
    "llama with sentencepiece": ("Llama", {}),
    "mistral with sentencepiece": MODELS["mistral"],
    "mixtral with sentencepiece": MODELS["mixtral"],
    "phi3 with sentencepiece": MODELS["phi3"],
    "phi3 with sentencepiece and long factors": MODELS["phi3 with long factors"],
    "gemma2 with sentencepiece": MODELS["gemma2"],
    "gemma3 with sentencepiece": MODELS["gemma3"],
    **{
        name: MODELS[name]
        for name in (
            "mixtral",
            "qwen2",
            "qwen2 with yarn",
            "qwen3",
            "qwen3moe",
            "granite",
            "smollm3",
            "olmo2",
        )
    },
}
TYPES = {"f16": "f16", "bf16": "bf16", "q8_0": "q8_0"}  # besides f32, of the first family
COMPUTED = ("rope_freqs.weight",)  # by us in float64, by theirs in float32: to the last bit but one
ONLY_OURS, ONLY_THEIRS, OTHER = "only ours", "only theirs", "other"
# (where, pattern of keys): why it is meant
MEANT = {
    (OTHER, "general.name"): "ours is the run's name, theirs the folder's",
    (ONLY_THEIRS, "general.size_label"): "made up from the number of parameters",
    (ONLY_THEIRS, "general.quantization_version"): "llama.cpp takes 2 where nothing is said",
    (OTHER, "tokenizer.chat_template"): "{% generation %} is a tag of transformers alone",
    (ONLY_OURS, "tokenizer.ggml.add_bos_token"): "said where theirs leaves it to a default",
    (ONLY_OURS, "tokenizer.ggml.add_eos_token"): "said where theirs leaves it to a default",
    (ONLY_OURS, "tokenizer.ggml.add_space_prefix"): "said where theirs leaves it to a default",
    (OTHER, "tokenizer.ggml.add_space_prefix"): "ours is the tokenizer's, theirs the family's",
    (ONLY_OURS, "tokenizer.ggml.eot_token_id"): "the second stop token of generation_config.json",
    (OTHER, "tokenizer.ggml.scores"): "ours are ranks of merges: the same order",
    (OTHER, "tokenizer.ggml.token_type"): "theirs calls Phi 3's <unk> a control token",
    (ONLY_OURS, "*.vocab_size"): "said where theirs leaves it to the list of tokens",
    (ONLY_OURS, "*.attention.key_length"): "said where theirs leaves it to be divided",
    (ONLY_OURS, "*.attention.value_length"): "said where theirs leaves it to be divided",
    (ONLY_OURS, "*.rope.dimension_count"): "said where theirs leaves it to the head's size",
    (ONLY_OURS, "*.rope.freq_base"): "said where theirs leaves it to a default",
    (ONLY_OURS, "*.attention.sliding_window_pattern"): "said where theirs leaves it to a default",
    (ONLY_OURS, "phi3.rope.scaling.type"): "said; llama.cpp tells it by the factors' tensors",
    (ONLY_THEIRS, "phi3.attention.sliding_window"): "0, which is llama.cpp's default",
    (ONLY_THEIRS, "phi3.rope.scaling.original_context_length"): "read with longrope only",
}


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By name: our file, theirs, and why there is none."""
    home = tmp_path_factory.mktemp("reference")
    orders, ours = [], {}
    for number, name in enumerate(FAMILIES):
        folder = home / f"model{number}"
        _make(folder, name)
        kinds = ("f32", *TYPES) if number == 0 else ("f32",)
        files = {kind: home / f"ours{number}.{kind}" for kind in kinds}
        prepared = prepare(Target("x", "hf", str(folder), label="x"))
        write_gguf(prepared, files, lambda *values: None)
        for kind, path in files.items():
            orders.append([str(folder), str(home / f"theirs{number}.{kind}"), kind])
            ours[name if kind == "f32" else f"{name} as {kind}"] = path
    write_json(home / "orders.json", orders)  # type: ignore[arg-type]
    script = Path(__file__).with_name("convert_all.py")
    environment = os.environ | {"PYTHONPATH": str(PACKAGES), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, str(script), str(llama_cpp()), str(home / "orders.json")],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    errors = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('"')]
    return {
        name: (path, Path(order[1]), error)
        for (name, path), order, error in zip(ours.items(), orders, errors, strict=True)
    }


@pytest.mark.parametrize("name", [*FAMILIES, *(f"llama as {kind}" for kind in TYPES)])
def test_every_tensor_and_every_key_is_llama_cpps(pairs: dict[str, Any], name: str) -> None:
    ours, theirs, error = pairs[name]
    assert not error
    own, other = GGUFReader(ours), GGUFReader(theirs)
    close = {tensor.name: tensor.data for tensor in own.tensors if tensor.name in COMPUTED}
    for tensor in other.tensors:
        if tensor.name in close:
            assert np.allclose(close[tensor.name], tensor.data, rtol=1e-6, atol=0)
    assert _tensors(own) == _tensors(other)
    found = [_reason(where, key) for where, key in _differences(own, other)]
    assert [key for key, reason in found if not reason] == []
    for key, reason in found:
        sys.stdout.write(f"{name}: {key}: {reason}\n")


def _make(folder: Path, name: str) -> None:
    family, options = FAMILIES[name]
    spm = "sentencepiece" in name
    make_model(folder, family, options | ({"vocab_size": 1600} if spm else {}))
    if not spm:
        return
    tokenizer = train_sentencepiece("always")
    tokenizer.save(str(folder / "tokenizer.json"))
    write_sentencepiece(folder / "tokenizer.model", tokenizer)
    special = {"eos_token": END, "pad_token": PAD, "unk_token": "<unk>", "bos_token": BOS}
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "LlamaTokenizer"} | special)
    write_json(folder / "generation_config.json", {"eos_token_id": [tokenizer.token_to_id(END)]})


def _tensors(reader: GGUFReader) -> dict[str, tuple[Any, ...]]:
    return {
        tensor.name: (
            tensor.tensor_type.name,
            tuple(map(int, tensor.shape)),
            "" if tensor.name in COMPUTED else _hash(tensor.data),
        )
        for tensor in reader.tensors
    }


def _hash(data: np.ndarray) -> str:
    import hashlib

    return hashlib.sha256(data.tobytes()).hexdigest()


def _differences(own: GGUFReader, other: GGUFReader) -> list[tuple[str, str]]:
    """(which, key) of each key that differs."""
    ours, theirs = (
        {key: field.contents() for key, field in reader.fields.items() if "GGUF." not in key}
        for reader in (own, other)
    )
    found = []
    for key in sorted(ours.keys() | theirs.keys()):
        if key not in theirs:
            found.append((ONLY_OURS, key))
        elif key not in ours:
            found.append((ONLY_THEIRS, key))
        elif ours[key] != theirs[key]:
            found.append((OTHER, key))
    return found


def _reason(where: str, key: str) -> tuple[str, str]:
    for (meant, pattern), reason in MEANT.items():
        if meant == where and fnmatch.fnmatch(key, pattern):
            return f"{key} ({where})", reason
    return f"{key} ({where})", ""
