"""Which models can become ONNX: those that onnxruntime-genai's model builder writes, and OLMo 2.

The builder: onnxruntime_genai/models/builder.py, 0.18; where it is wrong, patches.py mends it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from core.errors import AfinaError
from exporters.onnx.types import BLOCK, Type
from exporters.weights.merge import Merged


class Family(msgspec.Struct, frozen=True):
    """Models of one kind."""

    architecture: str  # transformers' class, by which the builder chooses
    builder: str  # the builder's own class for it


FAMILIES = {
    "llama": Family("LlamaForCausalLM", "LlamaModel"),
    "mistral": Family("MistralForCausalLM", "MistralModel"),
    "qwen2": Family("Qwen2ForCausalLM", "QwenModel"),
    "qwen3": Family("Qwen3ForCausalLM", "Qwen3Model"),
    "granite": Family("GraniteForCausalLM", "GraniteModel"),
    "gemma2": Family("Gemma2ForCausalLM", "Gemma2Model"),
    "gemma3_text": Family("Gemma3ForCausalLM", "Gemma3Model"),
    "phi3": Family("Phi3ForCausalLM", "Phi3MiniModel"),
    "smollm3": Family("SmolLM3ForCausalLM", "SmolLM3Model"),
    "olmo2": Family("OlmoForCausalLM", "OLMoModel"),  # ours is put in its place (olmo.py),
}
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
ROTATIONS = ("default", "linear", "llama3", "yarn")


def family_of(config: dict[str, Any]) -> Family:
    """The family of a config.json. Raises AfinaError with what is known for any other."""
    kind = str(config.get("model_type"))
    if any(config.get(name) for name in EXPERTS):
        raise AfinaError(
            f'Models of the kind "{kind}" have experts, and the ONNX builder writes none of them '
            "for a CPU.",
            "Export it as GGUF.",
        )
    if kind not in FAMILIES:
        raise AfinaError(
            f'Afina can\'t write models of the kind "{kind}" as ONNX.',
            f"Known: {', '.join(FAMILIES)}. Export it as GGUF or merged.",
        )
    for rotation in rotations(config):
        if rotation not in ROTATIONS:
            raise AfinaError(
                f'Its rotary positions are of the type "{rotation}", which an ONNX model can\'t '
                "compute as transformers does.",
                f"Known: {', '.join(ROTATIONS)}. Export it as GGUF.",
            )
    return FAMILIES[kind]


def refuse_odd(merged: Merged, chosen: Type) -> None:
    """Raises AfinaError where onnxruntime's search can't pack the zero points of a row in pairs."""
    for name, shape in merged.shapes.items() if chosen.mixed else ():
        blocks = -(-shape[-1] // BLOCK)
        if len(shape) == 2 and blocks % 2:
            raise AfinaError(
                f'The rows of "{name}" have {blocks} blocks of {BLOCK} weights, and onnxruntime '
                f"writes {chosen.name} for even numbers of them only.",
                "Choose onnx:int4 or onnx:int8.",
            )


def rotations(config: dict[str, Any]) -> set[str]:
    """The kinds of rotary positions; older configurations write them in other words."""
    values = config.get("rope_parameters") or config.get("rope_scaling") or {}
    parts = [part for part in values.values() if isinstance(part, dict)] or [values]
    return {str(part.get("rope_type") or part.get("type") or "default") for part in parts}
