"""Qwen2 (and Qwen2.5) and Qwen3, the dense models."""

from __future__ import annotations

from exporters.gguf.families.family import COMMON_NAMES, HEAD_NORM_NAMES, NORM_NAMES, Family

QWEN2 = Family(
    architecture="qwen2",
    model_types=("qwen2",),
    names=COMMON_NAMES | NORM_NAMES,
)
QWEN3 = Family(
    architecture="qwen3",
    model_types=("qwen3",),
    names=COMMON_NAMES | NORM_NAMES | HEAD_NORM_NAMES,
)
