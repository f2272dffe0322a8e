"""What a family of models is to GGUF: names, options and tensor rules, as data.

Names and rules follow llama.cpp's loaders (src/models/*.cpp) and its converter (conversion/*.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from core.errors import AfinaError
from exporters.gguf.rope import Rope, read_rope

if TYPE_CHECKING:
    import numpy as np

# GGUF keys without the architecture in front; int, float, str or a list of bools
Values = dict[str, Any]

# What nearly all families share. transformers' name: GGUF's; # is the number of the layer
ATTENTION_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers.#.self_attn.q_proj": "blk.#.attn_q",
    "model.layers.#.self_attn.k_proj": "blk.#.attn_k",
    "model.layers.#.self_attn.v_proj": "blk.#.attn_v",
    "model.layers.#.self_attn.o_proj": "blk.#.attn_output",
}
COMMON_NAMES = ATTENTION_NAMES | {
    "model.layers.#.mlp.gate_proj": "blk.#.ffn_gate",
    "model.layers.#.mlp.up_proj": "blk.#.ffn_up",
    "model.layers.#.mlp.down_proj": "blk.#.ffn_down",
}
NORM_NAMES = {
    "model.layers.#.input_layernorm": "blk.#.attn_norm",
    "model.layers.#.post_attention_layernorm": "blk.#.ffn_norm",
}
HEAD_NORM_NAMES = {
    "model.layers.#.self_attn.q_norm": "blk.#.attn_q_norm",
    "model.layers.#.self_attn.k_norm": "blk.#.attn_k_norm",
}
COMMON_VALUES = {  # GGUF's key: transformers' option
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "vocab_size": "vocab_size",
}

RENAMED = {"num_experts": "num_local_experts"}  # transformers 4's: 5's


def _nothing(config: Values) -> Values:
    return {}


class Experts(msgspec.Struct, frozen=True):
    """Feed-forward networks of which a router chooses; GGUF stacks each matrix of all of them."""

    count: str  # the option that says how many there are
    names: dict[str, str]  # transformers' name, * is the number of the expert: GGUF's of the stack

    def find(self, name: str) -> tuple[str, int] | None:
        """GGUF's name of the stack that a tensor belongs to, and which expert it is of."""
        found = re.fullmatch(r"(.*?\.)(\d+)(\..*?\.)(\d+)(\.[^.]+)\.weight", name)
        known = self.names.get(f"{found[1]}#{found[3]}*{found[5]}") if found else None
        return (
            (f"{known.replace('#', found[2])}.weight", int(found[4])) if found and known else None
        )


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """One family of models; the functions take the model's config.json."""

    architecture: str  # llama.cpp's name for it
    model_types: tuple[str, ...]  # transformers' names
    names: dict[str, str]
    values: dict[str, str] = msgspec.field(default_factory=lambda: COMMON_VALUES)
    more: Callable[[Values], Values] = _nothing  # keys that are worked out
    permuted: tuple[str, ...] = ()  # projections whose rows llama.cpp wants in pairs
    raised: tuple[str, ...] = ()  # ends of tensors that transformers adds 1 to when it runs
    ignored: tuple[str, ...] = (".rotary_emb.inv_freq",)  # what llama.cpp computes itself
    activation: str = "silu"
    slides: bool = False  # whether llama.cpp slides this family's attention windows
    rotations: tuple[str, ...] = ("default", "linear", "llama3", "yarn")
    rotates_parts: bool = False  # whether it may rotate a part of each head
    rope_of: str = ""  # the layers whose rotation is the main one, where kinds of layers differ
    refusals: tuple[Callable[[Values], str], ...] = ()  # a sentence, or nothing
    experts: Experts | None = None

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
        """The tensor as llama.cpp wants it, or some of its rows; same shape."""
        if self.raised and name.endswith(self.raised):
            return tensor + 1
        together = self.together(name, config)
        return tensor if together == 1 else permute(tensor, tensor.shape[0] // together)

    def together(self, name: str, config: Values) -> int:
        """How many rows of a tensor must be converted together: those of a head, or one."""
        paired = any(f".{ending}." in name for ending in self.permuted)
        return head_size(config) if paired else 1

    def hyperparameters(self, config: Values) -> Values:
        """GGUF's keys and values. Raises AfinaError when an option is missing."""
        wanted = (*self.values.values(), "max_position_embeddings")
        missing = [option for option in wanted if option_of(config, option) is None]
        if missing:
            raise AfinaError(
                f"The model's config.json lacks {missing[0]}.", "Save the model again."
            )
        head, rope = head_size(config), self.rope(config)
        return {
            **{key: option_of(config, option) for key, option in self.values.items()},
            "context_length": self.context_length(config),
            "attention.head_count_kv": config.get("num_key_value_heads")
            or config["num_attention_heads"],
            "attention.key_length": head,
            "attention.value_length": head,
            "rope.dimension_count": rope.dimensions,
            **rope.values(),
            **self.more(config),
        }

    def rope(self, config: Values) -> Rope:
        """The rotation of most layers."""
        return read_rope(config, head_size(config), self.rope_of)

    def context_length(self, config: Values) -> int:
        """Tokens that the exported model sees; a window that llama.cpp doesn't slide bounds it."""
        longest = config["max_position_embeddings"]
        return longest if self.slides else min(longest, window(config) or longest)

    def extra_tensors(self, config: Values) -> dict[str, np.ndarray]:
        """Tensors that transformers computes and llama.cpp reads, by their GGUF names."""
        return self.rope(config).tensors()

    def problem(self, config: Values) -> str:
        """Why this model can't be exported; empty when it can."""
        act = config.get("hidden_activation") or config.get("hidden_act") or self.activation
        if act != self.activation:
            return f'Its activation is "{act}", and llama.cpp expects {self.activation}.'
        try:
            rope = self.rope(config)
        except AfinaError as error:
            return f"{error.message} {error.hint}"
        if rope.kind not in self.rotations:
            return f'Its rotary positions are of the type "{rope.kind}", not known for this family.'
        if rope.dimensions != head_size(config) and not self.rotates_parts:
            return (
                f"Only {rope.dimensions} of the {head_size(config)} places of a head are rotated."
            )
        return next((text for refuse in self.refusals if (text := refuse(config))), "")


def option_of(config: Values, name: str) -> Any:
    """An option by its usual name, whatever the version of transformers calls it."""
    value = config.get(name)
    return config.get(RENAMED.get(name, name)) if value is None else value


def head_size(config: Values) -> int:
    """Places of one attention head."""
    return config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]


def window(config: Values) -> int | None:
    """Tokens that attention looks back, where it is bounded in some layer."""
    if config.get("use_sliding_window") is False:
        return None
    return config.get("sliding_window")


def permute(tensor: np.ndarray, heads: int) -> np.ndarray:
    """Rows of q or k from transformers' halves to llama.cpp's pairs, head by head."""
    rows = tensor.shape[0]
    pairs = tensor.reshape(heads, 2, rows // heads // 2, *tensor.shape[1:])
    return pairs.swapaxes(1, 2).reshape(tensor.shape)
