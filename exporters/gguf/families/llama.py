"""Llama, Mistral and their near relatives Granite and SmolLM3."""

from __future__ import annotations

from exporters.gguf.families.family import COMMON_NAMES, NORM_NAMES, Family, Values

LLAMA_NAMES = COMMON_NAMES | NORM_NAMES
PAIRED = ("q_proj", "k_proj")
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
