"""Tiny models of each family, built as ONNX in one process; their logits by onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from core.runs.target import Target
from exporters.contract import Working
from exporters.onnx.build_worker import Order
from exporters.onnx.builder import build
from exporters.onnx.source import write_source
from exporters.weights.merge import Merged
from tests.exporters.families import GEMMA, KINDS, SCALES, YARN, make_model

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
# what is tested: (the class in transformers, its options)
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {"tie_word_embeddings": True}),
    "llama with llama3's rotation": ("Llama", {"rope_parameters": LLAMA3}),
    "llama with a linear rotation": (
        "Llama",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}},
    ),
    "llama with biases": ("Llama", {"attention_bias": True, "mlp_bias": True}),
    "mistral with a window": ("Mistral", {"sliding_window": 8}),
    # so many tokens that its last layer is quantized in more than one piece
    "mistral": ("Mistral", {"sliding_window": None, "head_dim": 64, "vocab_size": 9000}),
    # the builder takes a layer with as many outputs as there are tokens for the last one
    "mistral as wide as its vocabulary": (
        "Mistral",
        {"sliding_window": None, "intermediate_size": 512},
    ),
    "qwen2": ("Qwen2", {"tie_word_embeddings": True}),
    "qwen2 with yarn": ("Qwen2", {"rope_parameters": YARN}),
    "qwen3": ("Qwen3", {"head_dim": 64}),
    "phi3": ("Phi3", {}),
    "phi3 in part": (
        "Phi3",
        {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}},
    ),
    "gemma2": ("Gemma2", GEMMA | {"layer_types": KINDS * 2}),
    "gemma3": ("Gemma3Text", GEMMA | {"layer_types": [KINDS[0], *KINDS, KINDS[0]]}),
    "granite": ("Granite", SCALES),
    "smollm3": ("SmolLM3", {"tie_word_embeddings": True}),
    "olmo2": ("Olmo2", {}),
}
IDS = list(range(3, 250, 7))


class Built(NamedTuple):
    """A model of transformers and the ONNX folders made of it, by type."""

    model: Any
    folder: Path
    types: dict[str, Path]


def build_all(folder: Path, wanted: dict[str, tuple[str, ...]]) -> dict[str, Built]:
    """Models by name with the types of each, built one after the other."""
    found, orders = {}, []
    for place, (name, types) in enumerate(wanted.items()):
        base = folder / str(place)
        model = make_model(base, *MODELS[name]).eval()
        source = folder / f"{place}-source"
        write_source(source, Merged(base))
        made = {each: folder / f"{place}-{each}" for each in types}
        orders += [Order(str(base), None, str(source), str(made[t]), t) for t in types]
        found[name] = Built(model, base, made)
    build(orders, working(folder))
    return found


def working(folder: Path) -> Working:
    return Working(lambda *values: None, lambda: None, folder / "scratch", 1)


def target_of(built: Built) -> Target:
    return Target("x", "hf", str(built.folder), label="x")


def log_p(model: Any) -> np.ndarray:
    """log p after each of IDS, (tokens, vocabulary), by transformers."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([IDS])).logits[0]
    return torch.log_softmax(logits.float(), dim=-1).numpy()


def folder_log_p(folder: Path) -> np.ndarray:
    """The same by onnxruntime, in two pieces, so that the key-value cache counts too."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
    outputs = [output.name for output in session.get_outputs()]
    past = {
        value.name: np.zeros((1, value.shape[1], 0, head_size(folder)), np.float32)
        for value in session.get_inputs()
        if value.name.startswith("past")
    }
    rows, done = [], 0
    for piece in (IDS[:20], IDS[20:]):
        done += len(piece)
        given = {
            "input_ids": np.array([piece], np.int64),
            "attention_mask": np.ones((1, done), np.int64),
        }
        made = dict(zip(outputs, session.run(None, given | past), strict=True))
        rows.append(np.asarray(made["logits"])[0])
        past = {name: made[name.replace("past_key_values", "present")] for name in past}
    logits = torch.tensor(np.concatenate(rows))
    return torch.log_softmax(logits, dim=-1).numpy()


def head_size(folder: Path) -> int:
    import json

    return json.loads((folder / "genai_config.json").read_bytes())["model"]["decoder"]["head_size"]


def kl(p: np.ndarray, q: np.ndarray) -> float:
    return float((np.exp(p) * (p - q)).sum(axis=-1).mean())
