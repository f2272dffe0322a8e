"""LoRA over experts: what PEFT trains in two tensors a layer is merged into one for each expert."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.errors import AfinaError
from exporters.weights.expert_lora import spread
from exporters.weights.merge import Merged

SIZES: Any = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_experts_per_tok": 2,
}
# "square" has as many inner columns as outer ones: only the rows tell gate_up_proj from down_proj
MIXTURES: dict[str, tuple[str, Any]] = {
    "qwen3": (
        "Qwen3Moe",
        {"num_experts": 4, "moe_intermediate_size": 24, "head_dim": 8, "mlp_only_layers": [0]},
    ),
    "mixtral": ("Mixtral", {"num_local_experts": 3, "intermediate_size": 24}),
    "square": ("Qwen3Moe", {"num_experts": 4, "moe_intermediate_size": 32, "head_dim": 8}),
}


@pytest.fixture(scope="module")
def mixtures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base for each of MIXTURES."""
    import transformers

    root = tmp_path_factory.mktemp("mixtures")
    for name, (family, options) in MIXTURES.items():
        torch.manual_seed(0)
        config = getattr(transformers, f"{family}Config")(**SIZES, **options)
        getattr(transformers, f"{family}ForCausalLM")(config).save_pretrained(root / name)
    return root


def tune(base: Path, folder: Path, **options: Any) -> dict[str, np.ndarray]:
    """Saves a random adapter over a base; returns PEFT's merged tensors by their names on disk."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    usual = {"r": 3, "lora_alpha": 5, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    tuned: Any = get_peft_model(model, LoraConfig(**usual | options))
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                weight.add_(torch.randn_like(weight) * 0.1)
    tuned.save_pretrained(folder)
    tuned.merge_and_unload().save_pretrained(folder / "merged")
    return dict(Merged(folder / "merged").tensors())


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("options", [{}, {"use_rslora": True, "alpha_pattern": {"q_proj": 9}}])
def test_all_linear_is_merged_into_every_expert_as_peft_does(
    mixtures: Path, tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    expected = tune(mixtures / name, tmp_path, **options)
    base, found = Merged(mixtures / name), Merged(mixtures / name, tmp_path)
    assert found.shapes.keys() == expected.keys()
    for tensor, values in found.tensors():
        np.testing.assert_allclose(values, expected[tensor], rtol=1e-5, atol=1e-6, err_msg=tensor)
        if ".experts." in tensor or tensor.endswith(".gate.weight"):
            assert not np.array_equal(values, base.read(tensor)), tensor


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("qwen3", {"target_modules": ["q_proj", "down_proj"]}),
        ("mixtral", {"target_modules": ["v_proj", "w1", "w3"]}),
        ("mixtral", {"target_modules": ["v_proj"], "modules_to_save": ["gate"]}),
        ("mixtral", {"target_modules": ["v_proj"], "modules_to_save": ["experts"]}),
        ("qwen3", {"target_modules": ["v_proj"], "modules_to_save": ["mlp"]}),
        ("square", {"target_parameters": ["mlp.experts.down_proj"], "target_modules": []}),
    ],
)
def test_some_of_the_parts_are_merged_as_peft_does(
    mixtures: Path, tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    expected = tune(mixtures / name, tmp_path, **options)
    for tensor, values in Merged(mixtures / name, tmp_path).tensors():
        np.testing.assert_allclose(values, expected[tensor], rtol=1e-5, atol=1e-6, err_msg=tensor)


def test_rows_of_an_expert_are_those_of_its_whole(mixtures: Path, tmp_path: Path) -> None:
    tune(mixtures / "mixtral", tmp_path)
    merged = Merged(mixtures / "mixtral", tmp_path)
    name = "model.layers.1.block_sparse_moe.experts.2.w3.weight"
    parts = [merged.rows(name, start, start + 8) for start in (0, 8, 16)]
    np.testing.assert_allclose(np.concatenate(parts), merged.read(name), rtol=1e-6)


def test_experts_of_another_model_are_refused(mixtures: Path, tmp_path: Path) -> None:
    tune(mixtures / "qwen3", tmp_path)
    with pytest.raises(AfinaError, match=r"changes 2 of its tensors .*experts"):
        Merged(mixtures / "square", tmp_path)


def test_a_rank_that_the_configuration_does_not_say_is_refused(
    mixtures: Path, tmp_path: Path
) -> None:
    tune(mixtures / "qwen3", tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rank_pattern": {}}))
    with pytest.raises(AfinaError, match="gate_up_proj.* has rank 6, and .* says 3"):
        Merged(mixtures / "qwen3", tmp_path).read("model.layers.1.mlp.experts.0.up_proj.weight")


def test_what_fits_no_expert_keeps_its_name() -> None:
    base = {"l.experts.0.w2.weight": (8, 4), "l.experts.1.w2.weight": (8, 4)}
    parts = {"A": "a", "B": "b"}
    fits, experts = spread({"l.experts.weight": parts}, {"a": (6, 4), "b": (8, 6)}, base)
    assert fits == dict.fromkeys(base, parts)
    assert [experts[name].place for name in base] == [0, 1]
    other, none = spread({"l.experts.weight": parts}, {"a": (6, 4), "b": (9, 6)}, base)
    assert other == {"l.experts.weight": parts} and not none
