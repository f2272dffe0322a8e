"""Which model families can become GGUF, each as data: names, hyperparameters, permuted tensors.

Names and rules follow llama.cpp's loader for the architecture "llama" (src/llama-model.cpp) and its
converter (convert_hf_to_gguf.py, LlamaModel).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from core.errors import AfinaError
from exporters.gguf.rope import rope_factors, rope_values

if TYPE_CHECKING:
    import numpy as np

Values = dict[str, Any]  # GGUF keys without the architecture in front; int, float or str

LLAMA_NAMES = {  # transformers' name: GGUF's; # is the number of the layer
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers.#.input_layernorm": "blk.#.attn_norm",
    "model.layers.#.self_attn.q_proj": "blk.#.attn_q",
    "model.layers.#.self_attn.k_proj": "blk.#.attn_k",
    "model.layers.#.self_attn.v_proj": "blk.#.attn_v",
    "model.layers.#.self_attn.o_proj": "blk.#.attn_output",
    "model.layers.#.post_attention_layernorm": "blk.#.ffn_norm",
    "model.layers.#.mlp.gate_proj": "blk.#.ffn_gate",
    "model.layers.#.mlp.up_proj": "blk.#.ffn_up",
    "model.layers.#.mlp.down_proj": "blk.#.ffn_down",
}
LLAMA_VALUES = {  # GGUF's key: transformers' option
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "vocab_size": "vocab_size",
}


class Family(msgspec.Struct, frozen=True):
    """One family of models; the functions take the model's config.json."""

    architecture: str  # llama.cpp's name for it
    model_types: tuple[str, ...]  # transformers' names
    names: dict[str, str]
    values: dict[str, str]
    permuted: dict[str, str]  # tensors whose rows llama.cpp wants in pairs: option with their heads
    ignored: tuple[str, ...]  # ends of tensors that llama.cpp computes itself
    refusals: tuple[Callable[[Values], str], ...]  # a sentence, or nothing

    def tensor_name(self, name: str) -> str | None:
        """GGUF's name of a tensor; None when the family has no such tensor."""
        stem, _, ending = name.rpartition(".")
        number = re.search(r"\.(\d+)\.", stem)
        pattern = stem.replace(f".{number[1]}.", ".#.", 1) if number else stem
        known = self.names.get(pattern)
        if known is None or ending not in ("weight", "bias"):
            return None
        return f"{known.replace('#', number[1] if number else '')}.{ending}"

    def convert(self, name: str, tensor: np.ndarray, config: Values) -> np.ndarray:
        """The tensor as llama.cpp wants it; same shape."""
        for ending, option in self.permuted.items():
            if f".{ending}." in name:
                return permute(tensor, config.get(option) or config["num_attention_heads"])
        return tensor

    def hyperparameters(self, config: Values) -> Values:
        """GGUF's keys and values. Raises AfinaError when an option is missing."""
        wanted = (*self.values.values(), "max_position_embeddings")
        missing = [option for option in wanted if option not in config]
        if missing:
            raise AfinaError(
                f"The model's config.json lacks {missing[0]}.", "Save the model again."
            )
        heads = config["num_attention_heads"]
        head = config.get("head_dim") or config["hidden_size"] // heads
        return {
            **{key: config[option] for key, option in self.values.items()},
            "context_length": context_length(config),
            "attention.head_count_kv": config.get("num_key_value_heads") or heads,
            "attention.key_length": head,
            "attention.value_length": head,
            "rope.dimension_count": head,
            **rope_values(config),
        }

    def extra_tensors(self, config: Values) -> dict[str, np.ndarray]:
        """Tensors that transformers computes and llama.cpp reads, by their GGUF names."""
        factors = rope_factors(config)
        return {} if factors is None else {"rope_freqs.weight": factors}

    def problem(self, config: Values) -> str:
        """Why this model can't be exported; empty when it can."""
        return next((text for refuse in self.refusals if (text := refuse(config))), "")


def permute(tensor: np.ndarray, heads: int) -> np.ndarray:
    """Rows of q or k from transformers' halves to llama.cpp's pairs, head by head."""
    rows = tensor.shape[0]
    pairs = tensor.reshape(heads, 2, rows // heads // 2, *tensor.shape[1:])
    return pairs.swapaxes(1, 2).reshape(tensor.shape)


def context_length(config: Values) -> int:
    """Tokens that the exported model sees; a sliding window, which "llama" lacks, bounds it."""
    longest = config["max_position_embeddings"]
    return min(longest, config.get("sliding_window") or longest)


def _activation(config: Values) -> str:
    act = config.get("hidden_act", "silu")
    return "" if act == "silu" else f'Its activation is "{act}", and llama.cpp expects silu.'


def _rope(config: Values) -> str:
    try:
        rope_values(config)
    except AfinaError as error:
        return error.message
    return ""


LLAMA = Family(
    architecture="llama",
    model_types=("llama", "mistral"),
    names=LLAMA_NAMES,
    values=LLAMA_VALUES,
    permuted={"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"},
    ignored=(".rotary_emb.inv_freq",),
    refusals=(_activation, _rope),
)
FAMILIES = (LLAMA,)


def family_of(config: Values) -> Family:
    """The family of a model. Raises AfinaError, with what is supported, when there is none."""
    kind = config.get("model_type")
    supported = ", ".join(sorted(name for family in FAMILIES for name in family.model_types))
    for family in FAMILIES:
        if kind in family.model_types:
            problem = family.problem(config)
            if problem:
                raise AfinaError(
                    f"This {kind} model can't become GGUF. {problem}",
                    f"Supported: {supported}, with usual options.",
                )
            return family
    raise AfinaError(
        f'Models of the family "{kind}" can\'t become GGUF yet.', f"Supported: {supported}."
    )
