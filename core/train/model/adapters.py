"""What is trained beside a frozen base: PEFT's configuration of the adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.config import Config

if TYPE_CHECKING:
    from peft import LoraConfig


def adapter(config: Config, objective: str = "sft") -> LoraConfig | None:
    """PEFT's configuration of the adapter; None for full tuning."""
    from peft import LoraConfig

    method = config.method
    if method.kind == "full":
        return None
    words = method.target_modules
    return LoraConfig(
        task_type="SEQ_CLS" if objective == "classification" else "CAUSAL_LM",
        r=method.rank,
        lora_alpha=method.alpha,  # type: ignore[arg-type] - PEFT divides it by the rank
        lora_dropout=method.dropout,
        target_modules=words if words == "all-linear" else module_names(words),
        use_rslora=method.rslora,
        use_dora=method.dora,
    )


def module_names(words: str) -> list[str]:
    return [word.strip() for word in words.split(",") if word.strip()]


def leave_casts_to_autocast(model: Any) -> None:
    """Autocast already casts the adapter's float32 weights; PEFT would cast every input, and back.

    The weights stay float32, so small updates aren't lost to rounding.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.cast_input_dtype_enabled = False  # type: ignore[attr-defined] - PEFT asks for it
