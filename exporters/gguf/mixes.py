"""Which ggml type each tensor gets in a quantized file: llama.cpp's own rules, as data.

From src/llama-quant.cpp, llama_tensor_get_type, for dense models without an importance matrix. A
test compares whole files with those that llama.cpp's quantizer writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec

Shape = tuple[int, ...]
MANY_HEADS = 4  # query heads on a key head, from which on values are small and get more bits


class Traits(msgspec.Struct, frozen=True):
    """What the rules ask of a model besides its tensors."""

    query_heads_per_key_head: int = 1
    eighty_layers: bool = False  # llama.cpp's "70B": values are few and get more bits


class Place(msgspec.Struct, frozen=True):
    """Where a tensor stands: its layer of so many, in a model with such traits."""

    layer: int
    layers: int
    traits: Traits

    @property
    def early(self) -> bool:
        return self.layer < self.layers // 8

    @property
    def spread(self) -> bool:
        """The first and the last eighth, and every third layer between."""
        eighth = self.layers // 8
        late = self.layer >= 7 * self.layers // 8
        return self.early or late or (self.layer - eighth) % 3 == 2

    @property
    def many_heads(self) -> bool:
        return self.traits.query_heads_per_key_head >= MANY_HEADS


Rule = Callable[[Place], str]  # the type, empty for that of most tensors


def _never(place: Place) -> str:
    return ""


class Mix(msgspec.Struct, frozen=True):
    """The tensors of a type that differ from the rest of it."""

    values: Rule = _never  # attn_v, and attn_qkv where they are fused
    down: Rule = _never  # ffn_down
    output: Rule = _never  # attn_output


MIXES = {
    "q5_k_m": Mix(lambda p: "Q6_K" * p.spread, lambda p: "Q6_K" * p.spread),
    "q4_k_m": Mix(lambda p: "Q6_K" * p.spread, lambda p: "Q6_K" * p.spread),
    "q4_k_s": Mix(lambda p: "Q5_K" * (p.layer < 4), lambda p: "Q5_K" * p.early),
    "q3_k_m": Mix(
        lambda p: "Q5_K" if p.layer < 2 else "Q4_K",
        lambda p: "Q5_K" if p.layer < p.layers // 16 else "Q4_K",
        lambda p: "Q4_K",
    ),
    "q2_k": Mix(lambda p: "Q4_K" if p.many_heads else "Q3_K", lambda p: "Q3_K", lambda p: "Q3_K"),
    "iq4_xs": Mix(lambda p: "Q5_K" * p.many_heads, lambda p: "Q5_K" * p.early),
    "iq4_nl": Mix(lambda p: "Q5_K" * p.many_heads, lambda p: "Q5_K" * p.early),
}
FALLBACKS = {  # for rows that no block of 256 divides
    "Q2_K": "Q4_0",
    "Q3_K": "Q4_0",
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
    "IQ4_XS": "IQ4_NL",
}


def wish(
    name: str, shapes: Mapping[str, Shape], mix: str, weights: str, layers: int, traits: Traits
) -> str:
    """The type that llama.cpp gives a matrix if its rows allow it."""
    output = "output.weight" if "output.weight" in shapes else "token_embd.weight"
    if name == output:
        return weights if weights == "Q8_0" else "Q6_K"
    place, rules = Place(layer_of(name), layers, traits), MIXES.get(mix, Mix())
    if name.endswith((".attn_v.weight", ".attn_qkv.weight")):
        kind = rules.values(place) or weights
        return "Q5_K" if traits.eighty_layers and kind in ("Q3_K", "Q4_K") else kind
    if name.endswith(".ffn_down.weight"):
        return rules.down(place) or weights
    if name.endswith(".attn_output.weight"):
        return rules.output(place) or weights
    return weights


def layer_of(name: str) -> int:
    """The number of a tensor's layer; 0 for those outside of layers."""
    found = re.match(r"blk\.(\d+)\.", name)
    return int(found[1]) if found else 0
