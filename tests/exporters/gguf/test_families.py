"""Each family's GGUF file computes what transformers computes; what differs is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader

from core.errors import AfinaError
from core.runs.target import Target
from exporters.gguf.families import FAMILIES, family_of
from exporters.gguf.prepare import prepare
from exporters.gguf.write import write_gguf
from exporters.weights.safetensors_reader import open_weights
from tests.exporters import models
from tests.exporters.families import GEMMA, KINDS, SCALES, YARN, config, make_model
from tests.exporters.gguf.test_write import IDS, LLAMA3
from tests.exporters.logits import llama_cpp_log_p, transformers_log_p

LONG = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "long_factor": [1.0 + place / 4 for place in range(16)],
    "short_factor": [1.0 + place / 9 for place in range(16)],
    "original_max_position_embeddings": 512,
}
EXPERTS = {"num_experts_per_tok": 3, "moe_intermediate_size": 96, "head_dim": 64}
# what is tested: (the class in transformers, its options)
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "mistral": ("Mistral", {"sliding_window": None}),
    "qwen2": ("Qwen2", {}),
    "qwen2 with yarn": ("Qwen2", {"rope_parameters": YARN}),
    "qwen3": ("Qwen3", {"head_dim": 64}),
    "phi3": ("Phi3", {}),
    "phi3 in part": (
        "Phi3",
        {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}},
    ),
    "phi3 with short factors": (
        "Phi3",
        {"rope_parameters": LONG, "original_max_position_embeddings": 512},
    ),
    "phi3 with long factors": (
        "Phi3",
        {
            "rope_parameters": LONG | {"original_max_position_embeddings": 16},
            "original_max_position_embeddings": 16,
        },
    ),
    "gemma2": ("Gemma2", GEMMA | {"layer_types": KINDS * 2}),
    "gemma3": ("Gemma3Text", GEMMA | {"layer_types": [KINDS[0], *KINDS, KINDS[0]]}),
    "qwen3moe": ("Qwen3Moe", EXPERTS | {"num_experts": 6, "norm_topk_prob": True}),
    "mixtral": ("Mixtral", {"num_local_experts": 8, "num_experts_per_tok": 2}),
    "granite": ("Granite", SCALES),
    "smollm3": ("SmolLM3", {"tie_word_embeddings": True}),
    "olmo2": ("Olmo2", {}),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_family_has_the_logits_of_transformers(tmp_path: Path, name: str) -> None:
    model = make_model(tmp_path, *MODELS[name])
    write(tmp_path, tmp_path / "x.gguf")
    found, expected = llama_cpp_log_p(tmp_path / "x.gguf", IDS), transformers_log_p(model, IDS)
    assert np.abs(found - expected).max() < 1e-3


def test_every_family_is_tested() -> None:
    tested = {family_of(config(*MODELS[name]).to_dict()).architecture for name in MODELS}
    assert tested | {"llama"} == {family.architecture for family in FAMILIES}


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("Qwen2", {"hidden_act": "gelu"}, 'activation is "gelu"'),
        ("Qwen2", {"rope_parameters": YARN | {"beta_fast": 16.0}}, "sets beta_fast"),
        ("Qwen2", {"rope_parameters": YARN | {"rope_type": "dynamic"}}, '"dynamic"'),
        ("Phi3", {"rope_parameters": LLAMA3}, '"llama3", not known for this family'),
        ("Gemma2", {"final_logit_softcapping": None}, "no soft caps"),
        ("Gemma2", {"query_pre_attn_scalar": 64}, "scales attention by 64"),
        ("Gemma3Text", {"final_logit_softcapping": 30.0}, "caps its logits"),
        ("Qwen3Moe", {"norm_topk_prob": False}, "norm_topk_prob is false"),
        ("Qwen3Moe", {"norm_topk_prob": True, "mlp_only_layers": [1]}, "have no experts"),
        ("SmolLM3", {"no_rope_layers": [1, 1, 1, 1]}, "rotates other layers"),
    ],
)
def test_what_llama_cpp_would_compute_otherwise_is_refused(
    name: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(AfinaError, match=words):
        family_of(config(name, GEMMA if "Gemma" in name else {}).to_dict() | options)


@pytest.mark.parametrize("name", ["qwen3moe", "mixtral"])
def test_experts_in_one_tensor_make_the_same_file_as_experts_of_their_own(
    tmp_path: Path, name: str
) -> None:
    model = make_model(tmp_path / "each", *MODELS[name])
    shutil.copytree(tmp_path / "each", tmp_path / "fused")
    model.save_pretrained(tmp_path / "fused", save_original_format=False)
    names = open_weights(tmp_path / "fused").entries
    assert any(key.endswith("experts.gate_up_proj") for key in names)
    assert not any(key.endswith("gate_up_proj") for key in open_weights(tmp_path / "each").entries)
    for layout in ("each", "fused"):
        write(tmp_path / layout, tmp_path / f"{layout}.gguf")
    each, fused = (GGUFReader(tmp_path / f"{layout}.gguf") for layout in ("each", "fused"))
    data = {tensor.name: tensor.data for tensor in each.tensors}
    assert data.keys() == {tensor.name for tensor in fused.tensors}
    assert all(np.array_equal(data[tensor.name], tensor.data) for tensor in fused.tensors)


@pytest.mark.parametrize("name", ["qwen3moe", "mixtral"])
def test_what_an_adapter_changes_in_experts_and_router_is_merged(tmp_path: Path, name: str) -> None:
    make_model(tmp_path / "base", *MODELS[name])
    tuned = models.make_adapter(tmp_path / "adapter", tmp_path / "base")  # all linear ones
    parameters = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert "gate_up_proj" in parameters["target_parameters"]
    target = Target("x", "hf", str(tmp_path / "base"), str(tmp_path / "adapter"), label="x")
    write_gguf(prepare(target), {"f32": tmp_path / "x.gguf"}, lambda *values: None)
    found, expected = llama_cpp_log_p(tmp_path / "x.gguf", IDS), transformers_log_p(tuned, IDS)
    assert np.abs(found - expected).max() < 1e-3


def test_experts_that_are_missing_are_refused(tmp_path: Path) -> None:
    make_model(tmp_path, *MODELS["qwen3moe"])
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | {"num_local_experts": 7}))
    with pytest.raises(AfinaError, match="6 experts of 1 shapes .* says 7"):
        write(tmp_path, tmp_path / "x.gguf")


def test_a_longrope_file_says_when_its_factors_change(tmp_path: Path) -> None:
    make_model(tmp_path, *MODELS["phi3 with long factors"])
    notes = prepare(Target("x", "hf", str(tmp_path), label="x")).notes
    assert any("longer than 16 tokens" in note for note in notes)


def test_a_window_that_llama_cpp_does_not_slide_bounds_the_context() -> None:
    values = config("Mistral", {"sliding_window": 64}).to_dict()
    assert family_of(values).context_length(values) == 64
    older = config("Qwen2", {}).to_dict() | {"sliding_window": 64, "use_sliding_window": False}
    assert family_of(older).context_length(older) == 512


def write(folder: Path, path: Path) -> None:
    prepared = prepare(Target("x", "hf", str(folder), label="x"))
    write_gguf(prepared, {"f32": path}, lambda *values: None)
