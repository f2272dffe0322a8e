"""Full tuning goes on with every weight of its checkpoint, also where files name them otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

from core.errors import AfinaError
from core.train.model import load_weights

SMALL: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}


def plain() -> Any:
    return LlamaForCausalLM(LlamaConfig(**SMALL))


def tied() -> Any:
    return LlamaForCausalLM(LlamaConfig(**SMALL, tie_word_embeddings=True))


def experts() -> Any:
    return Qwen3MoeForCausalLM(
        Qwen3MoeConfig(**SMALL, head_dim=8, moe_intermediate_size=8, num_experts=4)
    )


@pytest.mark.parametrize("make", [plain, tied, experts])
def test_every_weight_comes_back(make: Any, tmp_path: Path) -> None:
    first, other = make(), make()
    first.save_pretrained(tmp_path)
    load_weights.load(other, tmp_path)
    back = other.state_dict()
    assert all(torch.equal(back[name], weight) for name, weight in first.state_dict().items())


def test_a_weight_that_is_missing_is_an_error(tmp_path: Path) -> None:
    plain().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    weights.pop("model.norm.weight")
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(AfinaError, match="lacks 1 weights of the model"):
        load_weights.load(plain(), tmp_path)
