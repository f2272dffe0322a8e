"""Gemma 2 and Gemma 3 (text): raised norms, norms on both sides, windows in some layers."""

from __future__ import annotations

from exporters.gguf.families.family import (
    COMMON_NAMES,
    HEAD_NORM_NAMES,
    Family,
    Values,
    head_size,
    window,
)
from exporters.gguf.rope import read_rope

GEMMA_NAMES = COMMON_NAMES | {
    "model.layers.#.input_layernorm": "blk.#.attn_norm",
    "model.layers.#.post_attention_layernorm": "blk.#.post_attention_norm",
    "model.layers.#.pre_feedforward_layernorm": "blk.#.ffn_norm",
    "model.layers.#.post_feedforward_layernorm": "blk.#.post_ffw_norm",
}
# layers of the models that scale attention by hidden size / heads in llama.cpp, not by the head's
_SCALED_BY_HIDDEN = {"gemma2": 46, "gemma3": 62}


def _windows(config: Values) -> Values:
    kinds = config.get("layer_types")
    if not kinds or not window(config):
        return {}
    return {
        "attention.sliding_window": window(config),
        "attention.sliding_window_pattern": [kind == "sliding_attention" for kind in kinds],
    }


def _gemma2(config: Values) -> Values:
    caps = {
        "attn_logit_softcapping": config.get("attn_logit_softcapping"),
        "final_logit_softcapping": config.get("final_logit_softcapping"),
    }
    return {key: float(cap) for key, cap in caps.items() if cap} | _windows(config)


def _gemma3(config: Values) -> Values:
    local = read_rope(config, head_size(config), "sliding_attention")
    return {"rope.freq_base_swa": local.theta} | _windows(config)


def _uncapped(config: Values) -> str:
    if not config.get("attn_logit_softcapping") or not config.get("final_logit_softcapping"):
        return "It has no soft caps on its logits, and llama.cpp always caps Gemma 2's."
    return ""


def _capped(config: Values) -> str:
    if config.get("attn_logit_softcapping") or config.get("final_logit_softcapping"):
        return "It caps its logits, which llama.cpp doesn't do for Gemma 3."
    return ""


def _local_scaling(config: Values) -> str:
    local = read_rope(config, head_size(config), "sliding_attention")
    return "" if local.kind == "default" else "Its sliding layers scale their rotation."


def _scale(architecture: str):  # noqa: ANN202 - a refusal
    def refuse(config: Values) -> str:
        expected = head_size(config)
        if config["num_hidden_layers"] == _SCALED_BY_HIDDEN[architecture]:
            expected = config["hidden_size"] // config["num_attention_heads"]
        found = config.get("query_pre_attn_scalar", expected)
        if found == expected:
            return ""
        return f"It scales attention by {found:g}, and llama.cpp does by {expected}."

    return refuse


def _looks_ahead(config: Values) -> str:
    return "It sees tokens ahead." if config.get("use_bidirectional_attention") else ""


GEMMA2 = Family(
    architecture="gemma2",
    model_types=("gemma2",),
    names=GEMMA_NAMES,
    more=_gemma2,
    raised=("norm.weight",),
    ignored=(".rotary_emb.inv_freq", "lm_head.weight"),  # always tied
    activation="gelu_pytorch_tanh",
    slides=True,
    refusals=(_uncapped, _scale("gemma2"), _looks_ahead),
)
GEMMA3 = Family(
    architecture="gemma3",
    model_types=("gemma3_text",),
    names=GEMMA_NAMES | HEAD_NORM_NAMES,
    more=_gemma3,
    raised=("norm.weight",),
    ignored=(".rotary_emb.inv_freq", "lm_head.weight"),
    activation="gelu_pytorch_tanh",
    slides=True,
    rope_of="full_attention",
    refusals=(_capped, _local_scaling, _scale("gemma3"), _looks_ahead),
)
