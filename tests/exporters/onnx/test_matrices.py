"""An adapter as matrices of a graph: whose rows they are, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import AfinaError
from core.model_files.onnx import About, Piece, Site
from core.runs.target import Target
from exporters.onnx.adapters import matrices, write_adapter
from exporters.onnx.exporter import Onnx
from exporters.onnx.shared_base import Multi
from exporters.weights.adapter import Adapter
from tests.exporters import models


def target_of(base: Path, adapter: Path, label: str = "base + adapter") -> Target:
    return Target(str(base), "hf", str(base), adapter=str(adapter), label=label)


def test_joined_layers_get_one_pair_of_matrices_with_zeros_between(
    base: Path, adapter: Path
) -> None:
    peft = Adapter(adapter)
    names = [f"model.layers.0.self_attn.{letter}_proj.weight" for letter in "qkv"]
    rows = [256, 128, 128]
    site = Site(
        "layers.0.attn.qkv_proj",
        tuple(Piece(name, 0, count) for name, count in zip(names, rows, strict=True)),
        256,
        512,
    )
    only = {name: parts for name, parts in peft.changes.items() if name in names}
    peft.changes = only
    found = matrices(peft, [site])
    x = np.random.default_rng(0).normal(size=(3, 256)).astype(np.float32)
    change = []
    for name in names:
        a, b = (peft.weights.read(peft.changes[name][half]) for half in "AB")
        change.append(2.0 * x @ a.T @ b.T)
    np.testing.assert_allclose(
        x @ found[site.a] @ found[site.b], np.concatenate(change, 1), atol=1e-3
    )
    assert found[site.a].shape == (256, 24)


def test_a_split_layer_gets_its_own_rows(base: Path, adapter: Path) -> None:
    peft = Adapter(adapter)
    name = "model.layers.0.mlp.gate_proj.weight"
    peft.changes = {name: peft.changes[name]}
    halves = [
        Site("gate", (Piece(name, 0, 200),), 256, 200),
        Site("up", (Piece(name, 200, 512),), 256, 312),
    ]
    found = matrices(peft, halves)
    whole = peft.scale(name, 8) * peft.weights.read(peft.changes[name]["B"]).T
    np.testing.assert_allclose(np.concatenate([found["gate.lora_B"], found["up.lora_B"]], 1), whole)


REFUSED = {
    "is a DoRA": {"use_dora": True},
    r"replaces the whole of .*\(modules_to_save\)": {"modules_to_save": ["lm_head"]},
    "changes the embedding": {"target_modules": ["embed_tokens", "q_proj"]},
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_more_than_a_lora_is_refused_with_the_reason(
    base: Path, tmp_path: Path, reason: str
) -> None:
    models.make_adapter(tmp_path / "adapter", base, **REFUSED[reason])
    target = target_of(base, tmp_path / "adapter")
    with pytest.raises(AfinaError, match=reason) as refusal:
        Multi(target, Onnx(target).model).item("multi-int4", tmp_path)
    assert "without multi-" in refusal.value.hint


def test_ia3_and_a_model_without_adapter_are_refused(base: Path, tmp_path: Path) -> None:
    import torch
    from peft import IA3Config, get_peft_model
    from transformers import AutoModelForCausalLM

    whole = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = IA3Config(target_modules=["k_proj"], feedforward_modules=[], task_type="CAUSAL_LM")
    get_peft_model(whole, config).save_pretrained(str(tmp_path / "ia3"))
    target = target_of(base, tmp_path / "ia3")
    with pytest.raises(AfinaError, match="is an IA3 adapter"):
        Multi(target, Onnx(target).model).item("multi-int4", tmp_path)
    bare = Target(str(base), "hf", str(base), label="base")
    with pytest.raises(AfinaError, match="has no adapter that could be kept apart"):
        Multi(bare, Onnx(bare).model).item("multi-int4", tmp_path)


def test_a_layer_without_a_place_is_refused(adapter: Path, tmp_path: Path) -> None:
    peft = Adapter(adapter)
    name = "model.layers.0.self_attn.q_proj.weight"
    with pytest.raises(AfinaError, match="changes 13 layers that the ONNX graph has no place for"):
        write_adapter(
            peft, About(sites=(Site("q", (Piece(name, 0, 256),), 256, 256),)), tmp_path / "a"
        )


def test_a_base_that_can_not_be_written_is_refused_before_it_is_built(
    base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporters.onnx.families.BLOCK", 10**6)  # a row has one block then
    target = target_of(base, adapter)
    multi = Multi(target, Onnx(target).model)
    with pytest.raises(AfinaError, match="for even numbers of them only"):
        multi.item("multi-int4-quality", tmp_path)
    assert multi.item("multi-int4", tmp_path).type == "multi-int4"
