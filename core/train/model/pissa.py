"""PiSSA: a LoRA that begins as the strongest directions of each weight, taken out of the weight.

PiSSA (arXiv 2404.02948) 3: W = W' + scale·B0·A0 by singular values; W' is frozen, A and B learn.
What is saved is a plain LoRA on W of twice the rank, scale·(B·A - B0·A0), as PEFT converts it
(peft 0.21, tuners/lora/model.py, subtract_mutated_init). Its first half is A and B bit by bit, so
one file serves to go on, to chat and to export.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from core.paths import write_atomic

if TYPE_CHECKING:
    import torch
    from peft import PeftModel

FILE = "pissa_start.safetensors"  # in a run's directory: A0 and B0
EXACT_UP_TO = 1024  # the smaller side of a weight; beyond, the singular values are approximated
ROUNDS = 16  # of the approximation, as PEFT's pissa_niter_16
PREFIX, ADAPTER = "base_model.model.", "default"
Start = dict[str, "torch.Tensor"]  # "<layer>.lora_A.weight" and lora_B, as in an adapter's file


def begin(model: PeftModel, run: Path) -> None:
    """Moves the strongest directions from each weight into its adapter.

    A run that is resumed takes those that it began with: singular vectors of another machine
    would leave other weights behind.
    """
    from safetensors.torch import load_file, save

    path = run / FILE
    known: Start | None = load_file(path) if path.is_file() else None
    start: Start = {}
    for name, layer in _layers(model):
        keys = (f"{PREFIX}{name}.lora_A.weight", f"{PREFIX}{name}.lora_B.weight")
        a, b = (known[key] for key in keys) if known else _strongest(layer)
        _move(layer, a, b)
        start |= dict(zip(keys, (a.cpu(), b.cpu()), strict=True))
    if known is None:
        write_atomic(path, save(start))
    model.pissa_start = start  # type: ignore[assignment] - read back by is_under


def is_under(model: Any) -> bool:
    """Whether the adapter of a model began as PiSSA."""
    return "pissa_start" in vars(model)


def make_plain(model: PeftModel, folder: Path) -> None:
    """Turns a saved adapter on the weights that were left into one on the original base."""
    from safetensors.torch import load_file, save_file

    path = folder / "adapter_model.safetensors"
    weights = load_file(path)
    for key, first in start_of(model).items():
        if "lora_A" in key:
            weights[key] = _cat([weights[key], first], dim=0)  # (2 r, in)
        else:
            weights[key] = _cat([weights[key], -first], dim=1)  # (out, 2 r)
    save_file(weights, path, metadata={"format": "pt"})
    settings = folder / "adapter_config.json"
    config = msgspec.json.decode(settings.read_bytes())
    grow = math.sqrt(2) if config["use_rslora"] else 2  # so that the scale stays
    config["r"] *= 2
    config["lora_alpha"] *= grow
    config["rank_pattern"] = {name: 2 * rank for name, rank in config["rank_pattern"].items()}
    config["alpha_pattern"] = {name: grow * a for name, a in config["alpha_pattern"].items()}
    settings.write_bytes(msgspec.json.format(msgspec.json.encode(config)))


def put_back(model: PeftModel) -> None:
    """Gives the weights back what was moved out of them: the original base, but for rounding."""
    start = start_of(model)
    for name, layer in _layers(model):
        a, b = (start[f"{PREFIX}{name}.lora_{side}.weight"] for side in "AB")
        base = layer.get_base_layer().weight
        whole = _weight(layer) + layer.scaling[ADAPTER] * (b @ a).to(base.device)
        base.data = (whole.T if layer.fan_in_fan_out else whole).to(base.dtype)


def learned_half(model: PeftModel, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Of the weights of a saved plain LoRA, those that learn."""
    halves = dict(weights)
    for key, first in start_of(model).items():
        rank = first.shape[0 if "lora_A" in key else 1]
        halves[key] = weights[key][:rank] if "lora_A" in key else weights[key][:, :rank]
    return halves


def start_of(model: Any) -> Start:
    return vars(model)["pissa_start"]


def _layers(model: PeftModel) -> Iterator[tuple[str, Any]]:
    """The layers that have a LoRA, by their names in the base model."""
    from peft.tuners.lora import LoraLayer

    for name, module in model.get_base_model().named_modules():  # type: ignore[union-attr]
        if isinstance(module, LoraLayer):
            yield name, module


def _strongest(layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """A0 (r, in) and B0 (out, r): the first singular vectors, each with half of its value."""
    import torch

    rank, scale = layer.r[ADAPTER], layer.scaling[ADAPTER]
    weight = _weight(layer)
    if min(weight.shape) <= EXACT_UP_TO:
        left, values, right = torch.linalg.svd(weight, full_matrices=False)
    else:
        left, values, right = torch.svd_lowrank(weight, rank, niter=ROUNDS)
        right = right.T
    root = (values[:rank] / scale).sqrt()
    # contiguous, as they come back from a file: sums over other strides round in another order
    return (root[:, None] * right[:rank]).contiguous(), (left[:, :rank] * root).contiguous()


def _move(layer: Any, a: torch.Tensor, b: torch.Tensor) -> None:
    base = layer.get_base_layer().weight
    a, b = a.to(base.device), b.to(base.device)
    layer.lora_A[ADAPTER].weight.data = a.clone()
    layer.lora_B[ADAPTER].weight.data = b.clone()
    left = _weight(layer) - layer.scaling[ADAPTER] * (b @ a)
    base.data = (left.T if layer.fan_in_fan_out else left).to(base.dtype)


def _weight(layer: Any) -> torch.Tensor:
    """The frozen weight of a layer, float32 (out, in)."""
    weight = layer.get_base_layer().weight.data.float()
    return weight.T if layer.fan_in_fan_out else weight


def _cat(tensors: list[torch.Tensor], dim: int) -> torch.Tensor:
    import torch

    return torch.cat(tensors, dim=dim).contiguous()
