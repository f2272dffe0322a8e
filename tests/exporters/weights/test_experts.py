"""Experts in one tensor are read as a tensor for each, without a byte being moved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from core.errors import AfinaError
from exporters.weights.experts import split_experts
from exporters.weights.safetensors_reader import open_weights

STEM = "model.layers.1.mlp.experts"


def weights(folder: Path, **tensors: np.ndarray) -> dict[str, np.ndarray]:
    named = {f"{STEM}.{name}": values for name, values in tensors.items()}
    save_file(named, folder / "model.safetensors")
    return named


@pytest.mark.parametrize(
    ("kind", "gate", "up", "down"),
    [("qwen3_moe", "gate_proj", "up_proj", "down_proj"), ("mixtral", "w1", "w3", "w2")],
)
def test_each_expert_has_its_rows(tmp_path: Path, kind: str, gate: str, up: str, down: str) -> None:
    random = np.random.default_rng(0)
    both = random.normal(size=(3, 8, 5)).astype(np.float32)
    back = random.normal(size=(3, 5, 4)).astype(np.float32)
    weights(tmp_path, gate_up_proj=both, down_proj=back)
    found = open_weights(tmp_path)
    found.entries = split_experts(found.entries, kind)
    assert len(found.entries) == 9
    for expert in range(3):
        parts = {gate: both[expert, :4], up: both[expert, 4:], down: back[expert]}
        for name, expected in parts.items():
            read = found.read(f"{STEM}.{expert}.{name}.weight")
            assert np.array_equal(read, expected)


def test_another_family_keeps_its_tensors(tmp_path: Path) -> None:
    weights(tmp_path, gate_up_proj=np.zeros((2, 4, 3), dtype=np.float32))
    found = open_weights(tmp_path).entries
    assert split_experts(found, "gpt_oss") == found


@pytest.mark.parametrize("shape", [(2, 3, 4), (4, 4)])
def test_a_tensor_that_is_not_of_experts_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    weights(tmp_path, gate_up_proj=np.zeros(shape, dtype=np.float32))
    with pytest.raises(AfinaError, match="not that of experts"):
        split_experts(open_weights(tmp_path).entries, "mixtral")
