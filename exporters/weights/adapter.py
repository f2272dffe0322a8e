"""A PEFT adapter on disk: what it says, what it changes in one tensor, and what is refused.

The formulas are PEFT's (peft/tuners: lora/layer.py, lora/dora.py, ia3/layer.py; 0.21), in float32:
LoRA (arXiv 2106.09685) W + scale·B·A, rsLoRA (arXiv 2312.03732) with scale alpha/sqrt(r),
DoRA (arXiv 2402.09353) magnitude · (W + scale·B·A) / norm, IA3 (arXiv 2205.05638) factor · W.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import AfinaError
from core.model_files.json_file import require_json
from core.model_files.safetensors import Entry
from core.runs.continue_from import PLAIN_STARTS
from exporters.weights.expert_lora import Expert, split_whole, spread
from exporters.weights.experts import TOGETHER
from exporters.weights.safetensors_reader import Weights

if TYPE_CHECKING:
    import numpy as np

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
PARTS = {  # ends of keys and what they hold; a key without one is a whole tensor
    "lora_A.weight": "A",  # (r, in)
    "lora_B.weight": "B",  # (out, r)
    "lora_embedding_A": "embedding A",  # (r, vocabulary)
    "lora_embedding_B": "embedding B",  # (hidden, r)
    "lora_magnitude_vector": "magnitude",
    "lora_magnitude_vector.weight": "magnitude",
    "ia3_l": "factor",  # (out, 1), or (1, in) where the input is scaled
    "base_layer.weight": "base",  # an embedding that was resized before training
}
PROMPTS = ("PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "MULTITASK_PROMPT_TUNING", "CPT")
KEPT = 4  # matrices; several threads merge tensors that lie beside each other
UNKNOWN_OPTIONS = {  # options that change the arithmetic, with what they stand for
    "fan_in_fan_out": "weights stored as (in, out)",
    "layer_replication": "replicated layers",
    "trainable_token_indices": "single trained tokens",
    "alora_invocation_tokens": "activated LoRA",
    "use_qalora": "QALoRA",
    "use_bdlora": "block-diagonal LoRA",
    "arrow_config": "Arrow routing",
    "kasa_config": "KaSA",
    "monteclora_config": "MonteCLoRA",
    "velora_config": "VeLoRA",
    "lora_bias": "a bias in lora_B",
}


class Adapter:
    """The adapter in a folder, by the names of the base model's tensors."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / CONFIG).is_file():
            raise AfinaError(f'"{folder}" holds no {CONFIG}.', "Name the folder of a PEFT adapter.")
        self.config = require_json(folder / CONFIG)
        _refuse_unknown(folder, self.config)
        if not (folder / WEIGHTS).is_file():
            raise AfinaError(
                f'"{folder}" holds no {WEIGHTS}.', "Save the adapter again as safetensors."
            )
        self.weights = Weights([folder / WEIGHTS])
        self._kept: dict[str, np.ndarray] = {}
        self._lock = threading.Lock()
        self.changes: dict[str, dict[str, str]] = {}  # tensor of the base: {part: key here}
        for key in self.weights.entries:
            name, part = _split(folder, key)
            self.changes.setdefault(name, {})[part] = key
        self.experts: dict[str, Expert] = {}  # tensors whose matrices lie in those of a layer
        for name, parts in self.changes.items():
            _check_parts(folder, name, parts)

    def name_as(self, base: Mapping[str, Entry]) -> None:
        """Takes the names of a base on disk, which has a tensor for each expert."""
        own, there = (
            {name: entry.shape for name, entry in entries.items()}
            for entries in (self.weights.entries, base)
        )
        self.changes, self.experts = spread(self.changes, own, there)
        self.changes, single = split_whole(self.changes, self.weights.entries, there)
        self.weights.entries |= single

    def scale_biases(self, base: Container[str]) -> None:
        """Adds the biases of a base model that IA3 scales: where it scales a layer's output."""
        for name, parts in list(self.changes.items()):
            bias = name.removesuffix("weight") + "bias"
            if "factor" in parts and bias in base and self.weights.shape(parts["factor"])[1] == 1:
                self.changes[bias] = parts

    def shape(self, name: str, base: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a tensor under this adapter; `base` is its shape in the base."""
        parts = self.changes.get(name, {})
        key = parts.get("whole") or parts.get("base")
        return self.weights.shape(key) if key else base

    def rows(
        self,
        name: str,
        start: int,
        stop: int,
        base: Callable[[], np.ndarray],
        shape: tuple[int, ...],
    ) -> np.ndarray:
        """Some rows of a merged tensor of a shape, float32.

        base: gives these rows of the base model, and is not called where the adapter replaces
        them; they are written over. Raises AfinaError when the shapes don't fit.
        """
        parts = self.changes[name]
        if "whole" in parts:
            return self.weights.rows(parts["whole"], start, stop)
        if "factor" in parts:
            return self._scaled(name, base(), start, stop, shape)
        rows = self.weights.rows(parts["base"], start, stop) if "base" in parts else base()
        rows += self._delta(name, start, stop, shape)
        if "magnitude" in parts:
            self._normalize(parts, rows, start, stop)
        return rows

    def joins_rows(self, name: str) -> bool:
        """Whether a row of a tensor depends on others: where DoRA norms an embedding's columns."""
        return {"magnitude", "embedding A"} <= self.changes.get(name, {}).keys()

    def _delta(self, name: str, start: int, stop: int, shape: tuple[int, ...]) -> np.ndarray:
        """Rows of scale·B·A, or of its transpose for an embedding."""
        parts = self.changes[name]
        if name in self.experts:
            return self._delta_of(self.experts[name], parts, start, stop)
        if "embedding A" in parts:
            a, b = parts["embedding A"], parts["embedding B"]
            (rank, rows), columns = self.weights.shape(a), self.weights.shape(b)[0]
        else:
            a, b = parts["A"], parts["B"]
            (rank, columns), rows = self.weights.shape(a), self.weights.shape(b)[0]
        if (rows, columns) != shape:
            raise self._misfit(name, (rows, columns), shape)
        scale = self.scale(name, rank)
        if "embedding A" in parts:
            delta = self._matrix(a)[:, start:stop].T @ self._matrix(b).T
        else:
            delta = self.weights.rows(b, start, stop) @ self._matrix(a)
        delta *= scale
        return delta

    def _delta_of(self, expert: Expert, parts: dict[str, str], start: int, stop: int) -> np.ndarray:
        """Rows of scale·B·A of one expert, out of the matrices of all."""
        rank, rest = divmod(self.weights.shape(parts["A"])[0], expert.count)
        scale = self.scale(expert.parameter, rank if not rest else 0)
        a = self._matrix(parts["A"])[expert.place * rank : (expert.place + 1) * rank]
        rows = slice(expert.first + start, expert.first + stop)
        delta = self._matrix(parts["B"])[rows, expert.place :: expert.count] @ a
        delta *= scale
        return delta

    def _normalize(self, parts: dict[str, str], rows: np.ndarray, start: int, stop: int) -> None:
        """Gives rows, or an embedding's columns, the length that DoRA learned."""
        import numpy as np

        embedding = "embedding A" in parts
        norm = np.linalg.norm(rows, axis=0 if embedding else 1, keepdims=True)
        magnitude = self.weights.read(parts["magnitude"]).reshape(-1)
        rows *= (magnitude if embedding else magnitude[start:stop]).reshape(norm.shape) / norm

    def _scaled(
        self, name: str, rows: np.ndarray, start: int, stop: int, shape: tuple[int, ...]
    ) -> np.ndarray:
        factor = self.weights.read(self.changes[name]["factor"])
        if rows.ndim == 1:
            factor = factor.reshape(-1)  # of a bias
        if any(size not in (1, there) for size, there in zip(factor.shape, shape, strict=True)):
            raise self._misfit(name, factor.shape, shape)
        rows *= factor[start:stop] if factor.shape[0] > 1 else factor
        return rows

    def _matrix(self, key: str) -> np.ndarray:
        """A matrix that every row of a tensor needs; the last ones read are kept."""
        kept = self._kept.get(key)
        if kept is None:
            kept = self.weights.read(key)
            with self._lock:
                while len(self._kept) >= KEPT:
                    self._kept.pop(next(iter(self._kept)))
                self._kept[key] = kept
        return kept

    def _misfit(self, name: str, change: tuple[int, ...], base: tuple[int, ...]) -> AfinaError:
        return AfinaError(
            f'The adapter "{self.folder}" has the shape {change} for "{name}", and the base '
            f"model {base}.",
            "It was trained on another model: name that one.",
        )

    def scale(self, name: str, rank: int) -> float:
        """The factor of B·A for a tensor; raises AfinaError when config and weights disagree."""
        module = name.removesuffix(".weight")
        expected = _by_pattern(self.config.get("rank_pattern") or {}, module, self.config["r"])
        if rank != expected:
            raise AfinaError(
                f'In "{self.folder}" the adapter of "{module}" has rank {rank}, and {CONFIG} says '
                f"{expected}.",
                "Weights and configuration are of two adapters: save it again.",
            )
        alpha = _by_pattern(
            self.config.get("alpha_pattern") or {}, module, self.config["lora_alpha"]
        )
        return alpha / (math.sqrt(rank) if self.config.get("use_rslora") else rank)


def _split(folder: Path, key: str) -> tuple[str, str]:
    """A key of the adapter as (tensor of the base model, part)."""
    if key.startswith(PREFIX):
        inner = key.removeprefix(PREFIX)
        for ending, part in PARTS.items():
            if inner.endswith(f".{ending}"):
                return inner.removesuffix(ending) + "weight", part
        plain = inner.endswith((".weight", ".bias")) or TOGETHER.fullmatch(inner)
        if "lora_" not in inner and plain:
            return inner.replace(".base_layer.bias", ".bias"), "whole"
    raise AfinaError(
        f'The adapter "{folder}" holds "{key}", and Afina doesn\'t know what it stands for.',
        "Merge it with PEFT (merge_and_unload) and export the merged model.",
    )


def _check_parts(folder: Path, name: str, parts: dict[str, str]) -> None:
    """Raises AfinaError for half an adapter."""
    if "whole" in parts and len(parts) == 1:
        return
    if set(parts) == {"factor"}:
        return
    if set(parts) - {"magnitude", "base"} not in ({"A", "B"}, {"embedding A", "embedding B"}):
        raise AfinaError(
            f'The adapter "{folder}" has only {", ".join(sorted(parts))} for "{name}".',
            "It is incomplete: save it again.",
        )


def _refuse_unknown(folder: Path, config: dict[str, Any]) -> None:
    """Raises AfinaError for an adapter whose arithmetic is none of those above."""
    hint = "Merge it with PEFT (merge_and_unload) and export the merged model."
    kind = config.get("peft_type")
    if kind in PROMPTS:
        raise AfinaError(
            f'The adapter "{folder}" is a learned prompt ({kind}): it changes no weight, so there '
            "is nothing to merge, and an exported model has no place for its tokens.",
            "Chat with the run itself, or train a lora.",
        )
    if kind not in ("LORA", "IA3"):
        raise AfinaError(f'The adapter "{folder}" is of the kind {kind}, not LORA or IA3.', hint)
    for option, meaning in UNKNOWN_OPTIONS.items():
        if config.get(option):
            raise AfinaError(
                f'The adapter "{folder}" uses {meaning} ({option}), which Afina can\'t merge.', hint
            )
    if kind == "IA3":
        return
    start = config.get("init_lora_weights", True)
    if start not in PLAIN_STARTS:
        raise AfinaError(
            f'The adapter "{folder}" began as {start}, which changes the base model too.',
            "Convert it with PEFT's path_initial_model_for_weight_conversion, or merge it there.",
        )
    if not isinstance(config.get("r"), int) or not isinstance(
        config.get("lora_alpha"), int | float
    ):
        raise AfinaError(f'"{folder / CONFIG}" lacks r or lora_alpha.', "Save the adapter again.")


def _by_pattern(patterns: dict[str, Any], module: str, default: Any) -> Any:
    """The value of the first pattern that a module's name ends with, as PEFT chooses it."""
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default
