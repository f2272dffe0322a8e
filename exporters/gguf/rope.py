"""Rotary positions of a transformers configuration in GGUF's words.

transformers 5 writes `rope_parameters` (by kind of layer where they differ); older models have
`rope_theta` and `rope_scaling`. Formulas as in transformers' modeling_rope_utils.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from core.errors import AfinaError

if TYPE_CHECKING:
    import numpy as np

DEFAULT_THETA = 10000.0
KNOWN = ("default", "linear", "llama3", "yarn", "longrope")
# llama.cpp's own, which it takes where a file says nothing
YARN_FAST, YARN_SLOW = 32.0, 1.0


class Rope(msgspec.Struct, frozen=True):
    """One rotation of a model."""

    kind: str
    theta: float
    dimensions: int  # places of a head that are rotated
    options: dict[str, Any]
    context: int  # tokens that the model is said to see
    original: int  # tokens that it saw before its rotation was scaled

    def values(self) -> dict[str, Any]:
        """GGUF's keys for it."""
        values: dict[str, Any] = {"rope.freq_base": self.theta}
        if self.kind in ("linear", "yarn"):
            values["rope.scaling.type"] = self.kind
            values["rope.scaling.factor"] = float(self.options["factor"])
        if self.kind == "yarn":
            # llama.cpp puts its own factor on top, which is yarn's usual one
            usual = 1 + 0.1 * math.log(max(1.0, float(self.options["factor"])))
            if (attention := self._yarn_attention()) != usual:
                values["rope.scaling.attn_factor"] = attention / usual
        if self.kind == "longrope":
            values["rope.scaling.type"] = self.kind
            values["rope.scaling.attn_factor"] = self._long_attention()
        if self.kind in ("yarn", "longrope"):
            values["rope.scaling.original_context_length"] = self.original
        return values

    def tensors(self) -> dict[str, np.ndarray]:
        """What frequencies are divided by, float32 (dimensions / 2,), by GGUF name."""
        import numpy as np

        if self.kind == "llama3":
            return {"rope_freqs.weight": self._llama3_factors()}
        if self.kind == "longrope":
            return {
                f"rope_factors_{side}.weight": np.asarray(
                    self.options[f"{side}_factor"], dtype=np.float32
                )
                for side in ("long", "short")
            }
        return {}

    def _llama3_factors(self) -> np.ndarray:
        """Long waves are slowed by `factor`, short ones kept, those between are blended."""
        import numpy as np

        names = ("factor", "low_freq_factor", "high_freq_factor")
        factor, low, high = (float(self.options[name]) for name in names)
        places = np.arange(0, self.dimensions, 2, dtype=np.float64)
        waves = 2 * math.pi * self.theta ** (places / self.dimensions)
        blend = (self.original / waves - low) / (high - low)
        factors = 1 / ((1 - blend) / factor + blend)
        factors[waves < self.original / high] = 1.0
        factors[waves > self.original / low] = factor
        return factors.astype(np.float32)

    def _yarn_attention(self) -> float:
        """What queries and keys are multiplied by; mscale as in DeepSeek's models."""
        factor, given = float(self.options["factor"]), self.options.get("attention_factor")
        if given is not None:
            return float(given)
        names = ("mscale", "mscale_all_dim")
        above, below = (float(self.options.get(name) or 0) for name in names)
        if not above or not below:
            above, below = 1.0, 0.0
        if factor <= 1:
            return 1.0
        return (0.1 * above * math.log(factor) + 1) / (0.1 * below * math.log(factor) + 1)

    def _long_attention(self) -> float:
        given = self.options.get("attention_factor")
        if given is not None:
            return float(given)
        factor = self.options.get("factor") or self.context / self.original
        return 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(self.original))


def read_rope(config: dict[str, Any], head: int, layers: str = "") -> Rope:
    """The rotation of a model, or of its layers of one kind ("full_attention").

    Raises AfinaError for a variant that is not known here.
    """
    options = _options(config, layers)
    kind = options["rope_type"]
    if kind not in KNOWN:
        raise AfinaError(
            f'Its rotary positions are of the type "{kind}".', f"Known: {', '.join(KNOWN)}."
        )
    context = config.get("max_position_embeddings") or 0
    original = (
        options.get("original_max_position_embeddings")
        or config.get("original_max_position_embeddings")
        or context
    )
    rope = Rope(
        kind,
        float(options["rope_theta"]),
        int(head * options.get("partial_rotary_factor", 1.0)),
        options,
        context,
        original,
    )
    _refuse(rope)
    return rope


def _refuse(rope: Rope) -> None:
    """What llama.cpp would do in another way than transformers."""
    if rope.kind == "yarn":
        usual = {"beta_fast": YARN_FAST, "beta_slow": YARN_SLOW}
        odd = [name for name, value in usual.items() if rope.options.get(name, value) != value]
        if odd or rope.options.get("truncate") is False:
            raise AfinaError(
                f"Its yarn rotation sets {(odd or ['truncate'])[0]}.", "Known: yarn's defaults."
            )
    if rope.kind == "longrope":
        for side in ("long", "short"):
            found = len(rope.options.get(f"{side}_factor") or ())
            if found != rope.dimensions // 2:
                raise AfinaError(
                    f"Its longrope has {found} {side} factors, and a head has "
                    f"{rope.dimensions // 2} frequencies.",
                    "Its config.json is damaged.",
                )


def _options(config: dict[str, Any], layers: str) -> dict[str, Any]:
    """The rotation's options, whichever version of transformers wrote them."""
    rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    if layers and isinstance(rope.get(layers), dict):
        rope = dict(rope[layers])
    elif layers == "sliding_attention":  # Gemma 3 as transformers 4 wrote it
        rope = {"rope_theta": config.get("rope_local_base_freq")}
    rope["rope_type"] = rope.get("rope_type") or rope.get("type") or "default"
    rope["rope_theta"] = rope.get("rope_theta") or config.get("rope_theta") or DEFAULT_THETA
    if config.get("partial_rotary_factor") is not None:
        rope.setdefault("partial_rotary_factor", config["partial_rotary_factor"])
    return rope
