"""Rotary positions of a transformers configuration in GGUF's words.

transformers 5 writes `rope_parameters`; older models have `rope_theta` and `rope_scaling`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from core.errors import AfinaError

if TYPE_CHECKING:
    import numpy as np

DEFAULT_THETA = 10000.0


def rope_values(config: dict[str, Any]) -> dict[str, Any]:
    """GGUF's keys for the rotation. Raises AfinaError for a variant that is not known here."""
    rope = _parameters(config)
    values: dict[str, Any] = {"rope.freq_base": float(rope["rope_theta"])}
    kind = rope["rope_type"]
    if kind == "linear":
        values |= {"rope.scaling.type": "linear", "rope.scaling.factor": float(rope["factor"])}
    elif kind not in ("default", "llama3"):
        raise AfinaError(
            f'Its rotary positions are of the type "{kind}".', "Known: default, linear, llama3."
        )
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise AfinaError(
            f"Only {rope['partial_rotary_factor']:.0%} of each head is rotated.",
            "Known: the whole head.",
        )
    return values


def rope_factors(config: dict[str, Any]) -> np.ndarray | None:
    """What llama3's rotation divides each frequency by, float32 (head / 2,); None for others.

    As transformers' _compute_llama3_parameters: long waves are slowed by `factor`, short ones kept,
    those between are blended.
    """
    rope = _parameters(config)
    if rope["rope_type"] != "llama3":
        return None
    import numpy as np

    head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    factor, low, high = (
        float(rope[name]) for name in ("factor", "low_freq_factor", "high_freq_factor")
    )
    original = rope["original_max_position_embeddings"]
    frequencies = float(rope["rope_theta"]) ** (-np.arange(0, head, 2, dtype=np.float64) / head)
    waves = 2 * math.pi / frequencies
    blend = (original / waves - low) / (high - low)
    factors = 1 / ((1 - blend) / factor + blend)
    factors[waves < original / high] = 1.0
    factors[waves > original / low] = factor
    return factors.astype(np.float32)


def _parameters(config: dict[str, Any]) -> dict[str, Any]:
    """The rotation's options, whichever version of transformers wrote them."""
    rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    rope["rope_type"] = rope.get("rope_type") or rope.get("type") or "default"
    rope["rope_theta"] = rope.get("rope_theta") or config.get("rope_theta") or DEFAULT_THETA
    if config.get("partial_rotary_factor") is not None:
        rope.setdefault("partial_rotary_factor", config["partial_rotary_factor"])
    return rope
