"""Which model families can become GGUF; one file for each house of models."""

from __future__ import annotations

from exporters.gguf.converter import Refused
from exporters.gguf.families.family import Family, Values
from exporters.gguf.families.gemma import GEMMA2, GEMMA3
from exporters.gguf.families.llama import GRANITE, LLAMA, MIXTRAL, SMOLLM3
from exporters.gguf.families.olmo import OLMO2
from exporters.gguf.families.phi import PHI3
from exporters.gguf.families.qwen import QWEN2, QWEN3, QWEN3_MOE

FAMILIES = (
    LLAMA,
    MIXTRAL,
    QWEN2,
    QWEN3,
    QWEN3_MOE,
    PHI3,
    GEMMA2,
    GEMMA3,
    GRANITE,
    SMOLLM3,
    OLMO2,
)


def family_of(config: Values) -> Family:
    """The family of a model. Raises Refused, with what is supported, when there is none."""
    kind = config.get("model_type")
    supported = ", ".join(sorted(name for family in FAMILIES for name in family.model_types))
    for family in FAMILIES:
        if kind in family.model_types:
            problem = family.problem(config)
            if problem:
                raise Refused(problem, f"Supported: {supported}, with usual options.")
            return family
    raise Refused(
        f"Afina's own way doesn't know its family \"{kind}\".", f"Supported: {supported}."
    )
