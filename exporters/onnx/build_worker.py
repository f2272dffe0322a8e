"""The process that builds ONNX models: onnxruntime-genai's builder with our weights and patches.

The builder prints, puts modules with generic names on sys.path and can't be interrupted: it must
not be imported anywhere else.
"""

from __future__ import annotations

import importlib
import logging
import os
from pathlib import Path
from typing import Any

import msgspec

from core.errors import AfinaError
from exporters.isolated import Send
from exporters.onnx.families import FAMILIES
from exporters.onnx.types import TYPES
from exporters.weights.merge import Merged

SEARCH = "onnxruntime.quantization.neural_compressor.weight_only"
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


class Order(msgspec.Struct, frozen=True):
    """One model to be built."""

    model: str  # folder of the base
    adapter: str | None  # a PEFT adapter that is merged into it
    source: str  # folder that the builder reads (source.py)
    output: str  # folder that is made
    type: str


def work(send: Send, orders: list[dict[str, Any]]) -> None:
    """Builds models one after the other; sends (type, what, bytes read, bytes in all)."""
    os.environ.update(OFFLINE)
    for values in orders:
        order = msgspec.convert(values, Order)
        merged = Merged(Path(order.model), Path(order.adapter) if order.adapter else None)
        _build(send, order, merged)


def _build(send: Send, order: Order, merged: Merged) -> None:
    import transformers

    from exporters.onnx import patches
    from exporters.onnx.olmo import olmo2
    from exporters.onnx.streaming import Store, streamed

    transformers.utils.logging.disable_progress_bar()
    for name in ("onnxruntime.quantization", "neural_compressor"):
        logging.getLogger(name).setLevel(logging.WARNING)  # they tell of every matrix
    builder, base = load_builder()
    search = importlib.import_module(SEARCH)
    patches.check(builder, base, search)
    patches.search_in_pieces(search)
    total = merged.parameters * 4
    done = 0

    def report(name: str, size: int) -> None:
        nonlocal done
        done = min(done + size, total)
        send(order.type, name, done, total)

    output = Path(order.output)
    output.mkdir(parents=True)
    store = Store(merged, output, report)
    name = FAMILIES[merged.config["model_type"]].builder
    original = getattr(builder, name)
    own = olmo2(base.Model) if name == "OLMoModel" else original
    setattr(builder, name, streamed(patches.mended(own), store))
    try:
        run_builder(builder, order)
    finally:
        setattr(builder, name, original)
        store.close()


def run_builder(builder: Any, order: Order) -> None:
    """The builder's own two steps, with the options of a type."""
    chosen = TYPES[order.type]
    # a cache that holds only a window can't be rewound, and needs a max_length beyond it
    words = [*chosen.options, "windowed_kv_cache=false", "hf_token=false", "hf_remote=false"]
    cache = str(Path(order.source) / "cache")
    arguments = ("", order.source, order.output, chosen.precision, "cpu", cache)
    try:
        options = builder.parse_extra_options(*arguments, words)
        builder.create_model(*arguments, **options)
    except (NotImplementedError, ValueError, KeyError) as error:
        raise AfinaError(
            f"onnxruntime-genai's builder refuses the model: {error!s}.",
            "Export it as GGUF or merged.",
        ) from error


def load_builder() -> tuple[Any, Any]:
    """The builder's modules models/builder.py and models/builders/base.py."""
    try:
        library: Any = importlib.import_module("onnxruntime_genai")
    except ImportError as error:
        raise AfinaError(
            f"The package onnxruntime-genai can't be loaded: {error}.",
            "Install it: pip install onnxruntime-genai onnx-ir.",
        ) from error
    library.disable_telemetry_events()
    builder = importlib.import_module("onnxruntime_genai.models.builder")
    return builder, importlib.import_module("builders.base")
