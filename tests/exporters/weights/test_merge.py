"""The merged tensors are PEFT's, and exactly base + scale·B·A; what is not known is refused."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from core.errors import AfinaError
from exporters.weights.adapter import CONFIG, PREFIX, WEIGHTS
from exporters.weights.merge import INPUT, OUTPUT, Merged, changes_nothing
from tests.exporters import models

QUERY = "model.layers.0.self_attn.q_proj"
SMALL: Any = {"hidden_size": 64, "intermediate_size": 96, "vocab_size": 500}

VARIANTS: dict[str, dict[str, Any]] = {
    "lora": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "patterns": {
        "rank_pattern": {"q_proj": 2, "layers.1.mlp.down_proj": 3},
        "alpha_pattern": {r"layers\.0\.self_attn\.(k|v)_proj": 5},
    },
    "modules_to_save": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    "embedding": {"target_modules": ["embed_tokens", "v_proj"]},
    "embedding_dora": {"target_modules": ["embed_tokens"], "use_dora": True},
    "whole_ends": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
    "norms": {"target_modules": ["o_proj"], "modules_to_save": ["norm", "input_layernorm"]},
    "everything": {
        "target_modules": ["embed_tokens", "q_proj", "down_proj"],
        "modules_to_save": ["lm_head"],
        "use_dora": True,
        "use_rslora": True,
        "rank_pattern": {"embed_tokens": 3, "down_proj": 5},
        "alpha_pattern": {"down_proj": 7, "embed_tokens": 2.5},
    },
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("merge") / "base"
    models.make_model(folder, dtype="bfloat16", **SMALL)
    return folder


@pytest.fixture
def lora(small: Path, tmp_path: Path) -> Path:
    models.make_adapter(tmp_path / "lora", small, target_modules=["q_proj"])
    return tmp_path / "lora"


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_tensor_is_the_one_that_peft_merges(
    small: Path, tmp_path: Path, variant: str
) -> None:
    tuned = models.make_adapter(tmp_path / variant, small, **VARIANTS[variant])
    expected = {name: t.numpy() for name, t in tuned.merge_and_unload().state_dict().items()}
    found = dict(Merged(small, tmp_path / variant).tensors())
    assert found.keys() == expected.keys()
    for name, values in found.items():
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_ia3_scales_weights_and_biases_as_peft_merges_them(tmp_path: Path) -> None:
    import torch
    from peft import IA3Config, get_peft_model

    model = models.make_model(tmp_path / "base", attention_bias=True, **SMALL)
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weight)  # they begin as zero, which any factor leaves
    model.save_pretrained(tmp_path / "base")
    config = IA3Config(
        target_modules=["k_proj", "v_proj", "down_proj"],
        feedforward_modules=["down_proj"],
        task_type="CAUSAL_LM",
    )
    tuned: Any = get_peft_model(model, config)
    tuned.save_pretrained(str(tmp_path / "ones"))
    assert changes_nothing(Merged(tmp_path / "base", tmp_path / "ones"))
    for name, weight in tuned.named_parameters():
        if "ia3_l" in name:
            torch.nn.init.normal_(weight, mean=1.0)
    tuned.save_pretrained(str(tmp_path / "ia3"))
    expected = {name: t.numpy() for name, t in tuned.merge_and_unload().state_dict().items()}
    merged = Merged(tmp_path / "base", tmp_path / "ia3")
    assert not changes_nothing(merged)
    found = dict(merged.tensors())
    assert found.keys() == expected.keys()
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("bias", ["lora_only", "all"])
def test_trained_biases_replace_those_of_the_base(tmp_path: Path, bias: str) -> None:
    import torch

    models.make_model(tmp_path / "base", attention_bias=True, **SMALL)
    tuned = models.make_adapter(tmp_path / "a", tmp_path / "base", bias=bias)
    for name, weight in tuned.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weight)
    tuned.save_pretrained(str(tmp_path / "a"))
    expected = {name: t.numpy() for name, t in tuned.merge_and_unload().state_dict().items()}
    merged = Merged(tmp_path / "base", tmp_path / "a")
    for name, values in merged.tensors():
        np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_merged_tensor_is_exactly_base_plus_scale_times_b_times_a(
    small: Path, lora: Path
) -> None:
    raw = load_file(lora / WEIGHTS)
    a, b = (raw[f"{PREFIX}{QUERY}.lora_{x}.weight"] for x in "AB")
    base = Merged(small).read(f"{QUERY}.weight")
    merged = Merged(small, lora)
    assert np.array_equal(merged.read(f"{QUERY}.weight"), base + np.float32(16 / 8) * (b @ a))
    untouched = "model.layers.0.self_attn.k_proj.weight"
    assert np.array_equal(merged.read(untouched), Merged(small).read(untouched))


def test_rslora_scales_by_the_root_of_the_rank(small: Path, lora: Path) -> None:
    change_config(lora, use_rslora=True)
    adapter = Merged(small, lora).adapter
    assert adapter is not None
    assert adapter.scale(f"{QUERY}.weight", 8) == 16 / math.sqrt(8)


def test_training_one_end_of_tied_embeddings_unties_them(tmp_path: Path) -> None:
    models.make_model(tmp_path / "tied", tie_word_embeddings=True, **SMALL)
    assert OUTPUT not in Merged(tmp_path / "tied").shapes
    models.make_adapter(tmp_path / "a", tmp_path / "tied", target_modules=["embed_tokens"])
    base, merged = Merged(tmp_path / "tied"), Merged(tmp_path / "tied", tmp_path / "a")
    assert np.array_equal(merged.read(OUTPUT), base.read(INPUT))
    assert not np.array_equal(merged.read(INPUT), base.read(INPUT))


def test_ends_that_peft_keeps_tied_are_refused(tmp_path: Path) -> None:
    models.make_model(tmp_path / "tied", tie_word_embeddings=True, **SMALL)
    models.make_adapter(tmp_path / "a", tmp_path / "tied", target_modules=["embed_tokens"])
    change_config(tmp_path / "a", ensure_weight_tying=True)
    with pytest.raises(AfinaError, match="ensure_weight_tying"):
        Merged(tmp_path / "tied", tmp_path / "a")


def test_rows_for_tokens_that_were_added_before_training_are_kept_at_both_ends(
    small: Path, tmp_path: Path
) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(small, dtype=torch.float32)
    model.resize_token_embeddings(520, mean_resizing=False)
    tuned: Any = get_peft_model(model, LoraConfig(target_modules=["q_proj", "embed_tokens"]))
    tuned.save_pretrained(str(tmp_path / "half"))  # PEFT forgets the head
    with pytest.raises(AfinaError, match="reads 520 tokens and writes 500"):
        Merged(small, tmp_path / "half")
    config = LoraConfig(target_modules=["q_proj"], init_lora_weights=False)
    tuned = get_peft_model(tuned.unload(), config)
    tuned.save_pretrained(str(tmp_path / "resized"))
    expected = {name: t.numpy() for name, t in tuned.merge_and_unload().state_dict().items()}
    merged = Merged(small, tmp_path / "resized")
    assert merged.shapes[INPUT] == merged.shapes[OUTPUT] == (520, 64)
    for name, values in merged.tensors():
        np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_an_adapter_whose_b_is_zero_changes_nothing(small: Path, lora: Path) -> None:
    assert not changes_nothing(Merged(small, lora))
    raw = load_file(lora / WEIGHTS)
    save_file({k: v * (".lora_B." not in k) for k, v in raw.items()}, lora / WEIGHTS)
    assert changes_nothing(Merged(small, lora))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"init_lora_weights": "pissa"}, "began as pissa"),
        ({"peft_type": "LOHA"}, "of the kind LOHA"),
        ({"peft_type": "PROMPT_TUNING"}, "a learned prompt .*has no place for its tokens"),
        ({"layer_replication": [[0, 1]]}, "layer_replication"),
        ({"trainable_token_indices": [3]}, "trainable_token_indices"),
        ({"lora_bias": True}, "lora_bias"),
        ({"peft_type": "ADALORA"}, "of the kind ADALORA"),
        ({"init_lora_weights": "olora"}, "began as olora"),
        ({"r": 4}, "has rank 8, and adapter_config.json says 4"),
        ({"lora_alpha": None}, "lacks r or lora_alpha"),
    ],
)
def test_an_adapter_with_other_arithmetic_is_refused(
    small: Path, lora: Path, options: dict[str, Any], words: str
) -> None:
    change_config(lora, **options)
    with pytest.raises(AfinaError, match=words):
        Merged(small, lora).read(f"{QUERY}.weight")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (f"{PREFIX}{QUERY}.lora_C.weight", "doesn't know what it stands for"),
        (f"{PREFIX}model.layers.0.mlp.up_proj.lora_A.weight", "has only A for"),
        (f"{PREFIX}model.layers.9.mlp.up_proj.weight", "doesn't have"),
        ("encoder.weight", "doesn't know what it stands for"),
    ],
)
def test_a_key_that_can_not_be_used_is_refused(
    small: Path, lora: Path, key: str, words: str
) -> None:
    raw = load_file(lora / WEIGHTS)
    save_file(raw | {key: np.zeros((8, 64), np.float32)}, lora / WEIGHTS)
    with pytest.raises(AfinaError, match=words):
        Merged(small, lora)


def test_an_adapter_of_a_model_of_another_size_is_refused(lora: Path, tmp_path: Path) -> None:
    models.make_model(tmp_path / "other", **SMALL | {"hidden_size": 128})
    with pytest.raises(AfinaError, match="trained on another model"):
        Merged(tmp_path / "other", lora).read(f"{QUERY}.weight")


def test_weights_that_are_quantized_already_are_refused(small: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "q")
    config = json.loads((small / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes"}
    (tmp_path / "q" / "config.json").write_text(json.dumps(config))
    with pytest.raises(AfinaError, match=r"quantized already \(bitsandbytes\)"):
        Merged(tmp_path / "q")


def change_config(folder: Path, **options: Any) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | options))
