"""OLMo 2: norms behind the blocks instead of before them, and over whole queries and keys."""

from __future__ import annotations

from exporters.gguf.families.family import COMMON_NAMES, HEAD_NORM_NAMES, Family

OLMO2 = Family(
    architecture="olmo2",
    model_types=("olmo2",),
    names=COMMON_NAMES
    | HEAD_NORM_NAMES
    | {
        "model.layers.#.post_attention_layernorm": "blk.#.post_attention_norm",
        "model.layers.#.post_feedforward_layernorm": "blk.#.post_ffw_norm",
    },
)
