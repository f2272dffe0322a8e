"""Random models of every family, for the tests of all kinds of export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from tests.exporters import models

SHAPE = {
    "vocab_size": 512,
    "hidden_size": 128,
    "intermediate_size": 192,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
GEMMA = {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 8}
KINDS = ["sliding_attention", "full_attention"]
YARN = {
    "rope_type": "yarn",
    "rope_theta": 1e4,
    "factor": 4.0,
    "original_max_position_embeddings": 16,
}
SCALES = {
    "attention_multiplier": 0.3,
    "embedding_multiplier": 3.0,
    "residual_multiplier": 0.7,
    "logits_scaling": 2.0,
}


def config(name: str, options: dict[str, Any]) -> Any:
    ids = {"bos_token_id": None, "eos_token_id": 2, "pad_token_id": 0}
    return getattr(transformers, f"{name}Config")(**SHAPE | ids | options)


def make_model(folder: Path, name: str, options: dict[str, Any]) -> Any:
    """A random model whose norms and biases are random too, so that each of them shows."""
    torch.manual_seed(0)
    models.make_tokenizer(folder)
    model = getattr(transformers, f"{name}ForCausalLM".replace("TextFor", "For"))(
        config(name, options)
    )
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.3)
            elif "embed" not in key:
                parameter.mul_(4.0)
    model.generation_config.eos_token_id = [2]
    model.save_pretrained(folder)
    return model
