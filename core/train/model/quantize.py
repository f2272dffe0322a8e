"""Frozen weights in 4 or 8 bits: how they are loaded, and what is said where that can't be done.

Of PEFT's prepare_model_for_kbit_training nothing is wanted: PEFT freezes the base itself, TRL asks
for gradients of the inputs under checkpointing, norms compute in float32 whatever their type, and
embeddings and head in float32 would only take memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.errors import AfinaError

if TYPE_CHECKING:
    from core.train.setup import Setup

HINT = "Set method.quantization to none, or install a bitsandbytes that runs here (`afina doctor`)."


def loading(setup: Setup) -> dict[str, Any]:
    """What from_pretrained is given beside the number type; empty where nothing is quantized."""
    kind = setup.config.method.quantization
    if kind == "none":
        return {}
    from transformers import BitsAndBytesConfig

    check(kind, setup.precision.device)
    if kind == "int8":
        settings = BitsAndBytesConfig(load_in_8bit=True)
    else:
        settings = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=setup.precision.dtype,
        )
    return {"quantization_config": settings, "device_map": {"": setup.precision.device}}


def hold_still(model: Any) -> None:
    """Keeps bitsandbytes from packing 4-bit weights anew when a CPU with avx512_bf16 evaluates.

    It would round their scales to bfloat16 for good, so an evaluation would change the training
    after it, and it fails for layers whose inputs are no multiple of 64 (bitsandbytes 0.50,
    nn/modules.py, Linear4bit.forward).
    """
    from bitsandbytes.nn.modules import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def check(kind: str, device: str) -> None:
    """Raises AfinaError where bitsandbytes is missing, or can't quantize on this device."""
    import torch

    try:
        from bitsandbytes import functional
    except (ImportError, OSError) as error:
        raise AfinaError(
            f"{kind} needs bitsandbytes, and it can't be loaded: {error}.", HINT
        ) from error
    row = torch.ones(1, 64, dtype=torch.float16, device=device)
    try:
        if kind == "int8":
            functional.int8_vectorwise_quant(row)
        else:
            functional.quantize_4bit(row, quant_type="nf4", compress_statistics=True)
    except (RuntimeError, ValueError, NotImplementedError, AttributeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise AfinaError(
            f"bitsandbytes can't quantize to {kind} on {device}: {reason}.", HINT
        ) from error
