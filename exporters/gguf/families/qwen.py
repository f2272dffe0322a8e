"""Qwen2 (and Qwen2.5) and Qwen3, and Qwen3's mixtures of experts."""

from __future__ import annotations

from exporters.gguf.families.family import (
    ATTENTION_NAMES,
    COMMON_NAMES,
    COMMON_VALUES,
    HEAD_NORM_NAMES,
    NORM_NAMES,
    Experts,
    Family,
    Values,
)


def _dense_layers(config: Values) -> str:
    if config.get("mlp_only_layers") or config.get("decoder_sparse_step", 1) != 1:
        return "Some of its layers have no experts, and llama.cpp expects them in all."
    return ""


def _unscaled(config: Values) -> str:
    if not config.get("norm_topk_prob"):
        return (
            "It takes the weights of the chosen experts as they are (norm_topk_prob is false), and "
            "llama.cpp always makes their sum 1."
        )
    return ""


QWEN2 = Family(
    architecture="qwen2",
    model_types=("qwen2",),
    names=COMMON_NAMES | NORM_NAMES,
)
QWEN3 = Family(
    architecture="qwen3",
    model_types=("qwen3",),
    names=COMMON_NAMES | NORM_NAMES | HEAD_NORM_NAMES,
)
QWEN3_MOE = Family(
    architecture="qwen3moe",
    model_types=("qwen3_moe",),
    names=ATTENTION_NAMES
    | NORM_NAMES
    | HEAD_NORM_NAMES
    | {"model.layers.#.mlp.gate": "blk.#.ffn_gate_inp"},
    values=COMMON_VALUES
    | {
        "expert_count": "num_experts",
        "expert_used_count": "num_experts_per_tok",
        "expert_feed_forward_length": "moe_intermediate_size",
    },
    refusals=(_dense_layers, _unscaled),
    experts=Experts(
        "num_experts",
        {
            f"model.layers.#.mlp.experts.*.{name}_proj": f"blk.#.ffn_{name}_exps"
            for name in ("gate", "up", "down")
        },
    ),
)
