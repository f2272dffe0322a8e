"""Base model plus adapter, tensor by tensor in float32; no merged copy in memory or on disk.

Not here: what GGUF or ONNX make of the tensors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import AfinaError
from core.model_files.json_file import require_json
from exporters.weights.adapter import Adapter
from exporters.weights.experts import split_experts
from exporters.weights.safetensors_reader import Weights, open_weights

if TYPE_CHECKING:
    import numpy as np

INPUT, OUTPUT = "model.embed_tokens.weight", "lm_head.weight"


class Merged:
    """The tensors of a tuned model by their names in transformers, each made when it is read."""

    def __init__(self, model: Path, adapter: Path | None = None) -> None:
        self.folder = model
        self.config: dict[str, Any] = require_json(model / "config.json")
        _refuse_quantized(model, self.config)
        self.base: Weights = open_weights(model)
        self.base.entries = split_experts(self.base.entries, self.config.get("model_type", ""))
        self.adapter = Adapter(adapter) if adapter else None
        if self.adapter:
            self.adapter.name_as(self.base.entries)
            self.adapter.scale_biases(self.base.entries)
        changes = self.adapter.changes if self.adapter else {}
        # where config.json is silent, as Gemma's is, the weights tell
        tied = bool(self.config.get("tie_word_embeddings", OUTPUT not in self.base.entries))
        self.tied = tied and not {INPUT, OUTPUT} & changes.keys()
        if (
            tied
            and not self.tied
            and self.adapter
            and self.adapter.config.get("ensure_weight_tying")
        ):
            raise AfinaError(
                f'The adapter "{adapter}" trains tied embeddings (ensure_weight_tying), which '
                "Afina can't merge.",
                "Merge it with PEFT (merge_and_unload) and export the merged model.",
            )
        self._borrowed = tied and not self.tied  # output rows come from the base's input rows
        names = [name for name in self.base.entries if not (tied and name == OUTPUT)]
        if self._borrowed:
            names.append(OUTPUT)
        self.shapes: dict[str, tuple[int, ...]] = {name: self._shape(name) for name in names}
        self._refuse_unused(changes)
        self._refuse_half_resized()

    @property
    def parameters(self) -> int:
        return sum(math.prod(shape) for shape in self.shapes.values())

    def untuned(self) -> Merged | None:
        """The same model before its adapter; None without one."""
        return Merged(self.folder) if self.adapter else None

    def read(self, name: str) -> np.ndarray:
        """One merged tensor, float32."""
        shape = self.shapes[name]
        return self.rows(name, 0, shape[0] if shape else 1).reshape(shape)

    def rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Some places of a merged tensor's first axis, float32; all of them where `divisible` says
        no.
        """
        source = self._source(name)
        if self.adapter and name in self.adapter.changes:
            return self.adapter.rows(
                name, start, stop, lambda: self.base.rows(source, start, stop), self.shapes[name]
            )
        return self.base.rows(source, start, stop)

    def divisible(self, name: str) -> bool:
        """Whether rows of a tensor can be merged without its other rows."""
        return not (self.adapter and self.adapter.joins_rows(name))

    def tensors(self) -> Iterator[tuple[str, np.ndarray]]:
        """Every tensor once, in the order of the files."""
        for name in self.shapes:
            yield name, self.read(name)

    def _source(self, name: str) -> str:
        return INPUT if self._borrowed and name == OUTPUT else name

    def _shape(self, name: str) -> tuple[int, ...]:
        shape = self.base.shape(self._source(name))
        return self.adapter.shape(name, shape) if self.adapter else shape

    def _refuse_unused(self, changes: dict[str, Any]) -> None:
        unused = sorted(set(changes) - set(self.shapes))
        if unused:
            raise AfinaError(
                f'The adapter changes {len(unused)} of its tensors that "{self.folder}" doesn\'t '
                f'have, first "{unused[0]}".',
                "It was trained on another model: name that one.",
            )

    def _refuse_half_resized(self) -> None:
        """New rows for tokens at one end only, as PEFT saves a LoRA on resized embeddings."""
        ends = [self.shapes[name][0] for name in (INPUT, OUTPUT) if name in self.shapes]
        if len(set(ends)) > 1:
            raise AfinaError(
                f"With the adapter the model reads {ends[0]:,} tokens and writes {ends[1]:,}.",
                "The adapter lacks the head's new rows: save it again with "
                "modules_to_save=[lm_head], or merge it where it was trained.",
            )


def changes_nothing(merged: Merged) -> bool:
    """Whether the adapter leaves every tensor as the base has it: all B zero, all factors one.

    A DoRA magnitude or a whole tensor counts as a change.
    """
    import numpy as np

    if merged.adapter is None:
        return False
    for parts in merged.adapter.changes.values():
        if "factor" in parts:
            if np.any(merged.adapter.weights.read(parts["factor"]) != 1):
                return False
            continue
        key = parts.get("B") or parts.get("embedding B")
        if key is None or "magnitude" in parts:
            return False
        if np.any(merged.adapter.weights.read(key)):
            return False
    return True


def _refuse_quantized(model: Path, config: dict[str, Any]) -> None:
    if config.get("quantization_config"):
        kind = config["quantization_config"].get("quant_method", "unknown")
        raise AfinaError(
            f'The weights in "{model}" are quantized already ({kind}).',
            "Name the full-precision model: merging into quantized weights loses the tuning.",
        )
