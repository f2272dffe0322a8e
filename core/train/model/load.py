"""The base model as a run takes it: its number type or its bits, its head, its device."""

from __future__ import annotations

from typing import Any

from core.train.loader.dataset import Encoded
from core.train.model import quantize
from core.train.setup import Setup


def load_model(setup: Setup, encoded: Encoded) -> Any:
    """The base model; frozen weights in the type of the products, trained ones in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    rounded = setup.precision.autocast and not setup.full
    dtype = torch.bfloat16 if rounded else torch.float32
    given: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "trust_remote_code": False}
    kind: Any = AutoModelForCausalLM
    if encoded.objective == "classification":
        kind = AutoModelForSequenceClassification
        names = [str(label) for label in encoded.classes]
        given |= {"id2label": dict(enumerate(names)), "num_labels": len(names)}
        given["label2id"] = {name: place for place, name in enumerate(names)}
        torch.manual_seed(setup.config.train.seed)  # the head's first weights follow from it
    quantized = quantize.loading(setup)
    model = kind.from_pretrained(str(setup.base), **given, **quantized)
    if not quantized:
        return model.to(setup.precision.device)
    quantize.hold_still(model)
    return model
