"""Phi-3, Phi-3.5 and Phi-4 mini: fused projections, long rotations."""

from __future__ import annotations

from exporters.gguf.families.family import NORM_NAMES, Family

PHI3 = Family(
    architecture="phi3",
    model_types=("phi3",),
    names={
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "lm_head": "output",
        "model.layers.#.self_attn.qkv_proj": "blk.#.attn_qkv",
        "model.layers.#.self_attn.o_proj": "blk.#.attn_output",
        "model.layers.#.mlp.gate_up_proj": "blk.#.ffn_up",
        "model.layers.#.mlp.down_proj": "blk.#.ffn_down",
        **NORM_NAMES,
    },
    rotations=("default", "longrope"),
    rotates_parts=True,
)
