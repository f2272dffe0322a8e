"""Llama, Mistral, Mixtral and their near relatives Granite and SmolLM3."""

from __future__ import annotations

from exporters.gguf.families.family import (
    ATTENTION_NAMES,
    COMMON_NAMES,
    COMMON_VALUES,
    NORM_NAMES,
    Experts,
    Family,
    Values,
)

LLAMA_NAMES = COMMON_NAMES | NORM_NAMES
PAIRED = ("q_proj", "k_proj")
# on the hub, and as transformers 5 calls the router's place
_MIXTURES = ("block_sparse_moe", "mlp")
EXPERT_NAMES = {
    f"model.layers.#.{place}.experts.*.{name}": f"blk.#.ffn_{role}_exps"
    for place in _MIXTURES
    for name, role in (("w1", "gate"), ("w2", "down"), ("w3", "up"))
}
_ROTATING = 4  # llama.cpp leaves every fourth layer of SmolLM3 unrotated (src/models/smollm3.cpp)


def _granite(config: Values) -> Values:
    return {
        "attention.scale": float(config["attention_multiplier"]),
        "embedding_scale": float(config["embedding_multiplier"]),
        "residual_scale": float(config["residual_multiplier"]),
        "logit_scale": float(config["logits_scaling"]),
    }


def _other_rotated_layers(config: Values) -> str:
    layers = config["num_hidden_layers"]
    usual = [int((layer + 1) % _ROTATING != 0) for layer in range(layers)]
    if list(config.get("no_rope_layers") or usual) != usual:
        return "It rotates other layers than llama.cpp does: all but every fourth."
    return ""


LLAMA = Family(
    architecture="llama",
    model_types=("llama", "mistral"),
    names=LLAMA_NAMES,
    permuted=PAIRED,
)
MIXTRAL = Family(
    architecture="llama",
    model_types=("mixtral",),
    names=ATTENTION_NAMES
    | NORM_NAMES
    | {f"model.layers.#.{place}.gate": "blk.#.ffn_gate_inp" for place in _MIXTURES},
    values=COMMON_VALUES
    | {"expert_count": "num_local_experts", "expert_used_count": "num_experts_per_tok"},
    permuted=PAIRED,
    experts=Experts("num_local_experts", EXPERT_NAMES),
)
GRANITE = Family(
    architecture="granite",
    model_types=("granite",),
    names=LLAMA_NAMES,
    permuted=PAIRED,
    more=_granite,
)
SMOLLM3 = Family(
    architecture="smollm3",
    model_types=("smollm3",),
    names=LLAMA_NAMES,
    permuted=PAIRED,
    refusals=(_other_rotated_layers,),
)
