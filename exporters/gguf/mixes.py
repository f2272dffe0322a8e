"""Which ggml type each tensor gets in a quantized file: llama.cpp's own rules, as data.

From src/llama-quant.cpp, llama_tensor_get_type, for dense models and mixtures of experts. A test
compares whole files with those that llama.cpp's quantizer writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

import msgspec

Shape = tuple[int, ...]
INPUT, OUTPUT = "token_embd.weight", "output.weight"
MANY_HEADS = 4  # query heads on a key head, from which on values are small and get more bits
MANY_EXPERTS = 4  # from which on attention is a small part of the model
EIGHT_EXPERTS = 8  # Mixtral's number, for which llama.cpp has rules of its own


class Traits(msgspec.Struct, frozen=True):
    """What the rules ask of a model besides its tensors."""

    query_heads_per_key_head: int = 1
    eighty_layers: bool = False  # llama.cpp's "70B": values are few and get more bits
    experts: int = 0


class Place(msgspec.Struct, frozen=True):
    """Where a tensor stands: its layer of so many, in a model with such traits."""

    layer: int
    layers: int
    traits: Traits
    importance: bool  # whether that of the columns is known

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

    @property
    def small_attention(self) -> bool:
        return self.many_heads or self.traits.experts >= MANY_EXPERTS


Rule = Callable[[Place], str]  # the type, empty for that of most tensors


def _never(place: Place) -> str:
    return ""


class Mix(msgspec.Struct, frozen=True):
    """The tensors of a type that differ from the rest of it."""

    values: Rule = _never  # attn_v, and attn_qkv where they are fused
    keys: Rule = _never  # attn_k
    queries: Rule = _never  # attn_q
    output: Rule = _never  # attn_output
    down: Rule = _never  # ffn_down, of experts too
    head: str = "Q6_K"  # the output matrix, or the input's where they are one
    embedding: str = ""  # the input matrix where it is not the head
    eight: tuple[str, str, str] = ("Q8_0", "Q8_0", "")  # values, keys, output: of eight experts
    eighty: bool = True  # whether values of "70B" models get more bits


_EIGHT = ("Q8_0", "Q8_0", "Q5_K")


def _more_bits(place: Place) -> str:
    return "Q6_K" * place.spread


def _values_of_uneven(place: Place) -> str:
    return "Q5_K" * place.many_heads


def _down_of_uneven(place: Place) -> str:
    return "Q5_K" * (place.early and not place.importance)


def _values_of_iq3(place: Place) -> str:
    if place.many_heads:
        return "Q4_K"
    return "" if place.importance else "IQ3_S"


def _down_of_iq3(place: Place) -> str:
    if place.importance:
        return ""
    return "Q4_K" if place.early else "Q3_K"


MIXES = {
    "q5_k_m": Mix(values=_more_bits, down=_more_bits),
    "q4_k_m": Mix(values=_more_bits, down=_more_bits, eight=_EIGHT),
    "q4_k_s": Mix(
        values=lambda p: "Q5_K" * (p.layer < 4), down=lambda p: "Q5_K" * p.early, eight=_EIGHT
    ),
    "q4_0": Mix(down=lambda p: "Q4_1" * (p.early and p.importance)),
    "q3_k_m": Mix(
        values=lambda p: "Q5_K" if p.layer < 2 else "Q4_K",
        output=lambda p: "Q4_K",
        down=lambda p: "Q5_K" if p.layer < p.layers // 16 else "Q4_K",
        eight=_EIGHT,
    ),
    "q2_k": Mix(
        values=lambda p: "Q4_K" if p.many_heads else "Q3_K",
        output=lambda p: "Q3_K",
        down=lambda p: "Q3_K",
        eight=_EIGHT,
    ),
    "iq4_xs": Mix(values=_values_of_uneven, down=_down_of_uneven, eight=_EIGHT),
    "iq4_nl": Mix(values=_values_of_uneven, down=_down_of_uneven, eight=_EIGHT),
    "iq3_xxs": Mix(
        values=_values_of_iq3,
        keys=lambda p: "IQ2_S",
        queries=lambda p: "IQ2_S",
        output=lambda p: "IQ3_S",
        down=_down_of_iq3,
        head="Q5_K",
        embedding="IQ3_S",
        eight=_EIGHT,
    ),
    "iq2_xxs": Mix(
        values=lambda p: "Q4_K" if p.small_attention else "Q2_K",
        down=lambda p: "Q2_K" * p.early,
        head="Q5_K",
        embedding="Q2_K",
        eight=("Q4_K", "Q4_K", "Q5_K"),
        eighty=False,
    ),
}
FALLBACKS = {  # for rows that no block of 256 divides
    "Q2_K": "Q4_0",
    "Q3_K": "Q4_0",
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
    "IQ2_XXS": "IQ4_NL",
    "IQ2_S": "IQ4_NL",
    "IQ3_XXS": "IQ4_NL",
    "IQ3_S": "IQ4_NL",
    "IQ4_XS": "IQ4_NL",
}
HEAD_FALLBACK = "Q8_0"
BLIND = ("IQ2_XXS", "IQ2_S", "IQ3_XXS")  # without importance of the columns they write noise


class Model(msgspec.Struct, frozen=True):
    """What the rules ask of a whole model, and of how it is written."""

    head: str  # the matrix that makes the logits
    layers: int
    traits: Traits
    importance: bool  # whether that of the columns is known

    @classmethod
    def of(cls, names: Collection[str], traits: Traits, importance: bool) -> Model:
        """From the names of all its tensors."""
        layers = 1 + max((layer_of(name) for name in names), default=0)
        return cls(OUTPUT if OUTPUT in names else INPUT, layers, traits, importance)


def wish(name: str, model: Model, mix: str, weights: str) -> str:
    """The type that llama.cpp gives a matrix if its rows allow it."""
    rules = MIXES.get(mix, Mix())
    if name == model.head:
        return weights if weights == "Q8_0" else rules.head
    if name == INPUT:
        return rules.embedding or weights
    place = Place(layer_of(name), model.layers, model.traits, model.importance)
    part = name.removesuffix(".weight").rpartition(".")[2]
    return _of_part(part, rules, place, weights) or weights


def _of_part(part: str, rules: Mix, place: Place, weights: str) -> str:
    """The type of one part of a layer; empty for that of most tensors."""
    if place.traits.experts == EIGHT_EXPERTS:
        values, keys, output = rules.eight
        fixed = {"attn_v": values, "attn_qkv": values, "attn_k": keys, "attn_output": output}
        if part in fixed:
            return fixed[part]
    if part in ("attn_v", "attn_qkv"):
        kind = rules.values(place) or weights
        more = rules.eighty and place.traits.eighty_layers and kind in ("Q3_K", "Q4_K")
        return "Q5_K" if more else kind
    if part in ("ffn_down", "ffn_down_exps"):
        return rules.down(place)
    rule = {"attn_k": rules.keys, "attn_q": rules.queries, "attn_output": rules.output}.get(part)
    return rule(place) if rule else ""


def needs_importance(name: str, kind: str) -> bool:
    """Whether llama.cpp refuses to write a tensor in a type without importance."""
    return kind in BLIND and name not in (INPUT, OUTPUT)


def layer_of(name: str) -> int:
    """The number of a tensor's layer; 0 for those outside of layers."""
    found = re.match(r"blk\.(\d+)\.", name)
    return int(found[1]) if found else 0
