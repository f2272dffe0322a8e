"""Each family's ONNX model computes what transformers computes; it is streamed without a change."""

from __future__ import annotations

import math
import multiprocessing
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from core.errors import AfinaError
from exporters.contract import Working
from exporters.isolated import Send, run_aside
from exporters.onnx import patches
from exporters.onnx.build_worker import Order, load_builder, run_builder
from exporters.onnx.builder import build
from exporters.onnx.families import FAMILIES, family_of
from exporters.onnx.types import TYPES
from tests.exporters.onnx import built
from tests.exporters.onnx.built import Built

# the other models are in tests/reference; these need most of the patches
HERE = (
    "mistral",
    "mistral with a window",
    "mistral as wide as its vocabulary",
    "gemma3",
    "smollm3",
    "olmo2",
)
KL = {"int8": 0.002, "int4": 0.08, "int4-quality": 0.05}  # of random weights: the worst case


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Built]:
    wanted: dict[str, tuple[str, ...]] = {name: ("fp32",) for name in HERE}
    wanted["mistral"] = wanted["smollm3"] = tuple(TYPES)  # apart and tied embeddings
    return built.build_all(tmp_path_factory.mktemp("onnx"), wanted)


@pytest.mark.parametrize("name", HERE)
def test_a_family_has_the_logits_of_transformers(found: dict[str, Built], name: str) -> None:
    one = found[name]
    assert np.abs(built.folder_log_p(one.types["fp32"]) - built.log_p(one.model)).max() < 1e-4


@pytest.mark.parametrize("name", ["mistral", "smollm3"])
def test_quantized_types_stay_near_the_model(found: dict[str, Built], name: str) -> None:
    one = found[name]
    expected = built.log_p(one.model)
    lost = {
        each: built.kl(expected, built.folder_log_p(one.types[each]))
        for each in TYPES
        if each != "fp32"
    }
    assert all(0 <= lost[each] < KL[each] for each in lost), lost
    assert lost["int8"] < lost["int4-quality"] < lost["int4"]


def test_what_is_streamed_equals_what_the_builder_makes_of_a_whole_model(
    found: dict[str, Built], tmp_path: Path
) -> None:
    one = found["mistral"]
    names = ("int4", "int4-quality", "int8")
    orders = [Order(str(one.folder), None, str(one.folder), str(tmp_path / n), n) for n in names]
    run_aside(build_plainly, (orders,), lambda *values: None)
    for name in names:
        ours, theirs = one.types[name], tmp_path / name
        nodes, weights = contents(ours)
        plain_nodes, plain_weights = contents(theirs)
        assert nodes == plain_nodes
        assert weights.keys() == plain_weights.keys()
        for key, array in weights.items():
            assert np.array_equal(array, plain_weights[key]), key


def test_weights_lie_in_the_data_file_alone(found: dict[str, Built]) -> None:
    for one in found.values():
        for folder in one.types.values():
            model = onnx.load(str(folder / "model.onnx"), load_external_data=False)
            held = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
            assert held < 64 * 1024
            assert all(
                {e.key: e.value for e in tensor.external_data}["location"] == "model.onnx.data"
                for tensor in model.graph.initializer
                if tensor.data_location == onnx.TensorProto.EXTERNAL
            )


def test_a_cancel_ends_the_building_process(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    asked: list[float] = []

    def check() -> None:
        if multiprocessing.active_children():
            asked.append(time.monotonic())
            raise Stop

    order = Order("/nowhere", None, "/nowhere", str(tmp_path / "x"), "fp32")
    with pytest.raises(Stop):
        build([order], Working(lambda *values: None, check, tmp_path, 1))
    assert time.monotonic() - asked[0] < 0.5
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "mixtral", "num_local_experts": 8}, "have experts"),
        ({"model_type": "qwen3_moe", "num_experts": 8}, "have experts"),
        ({"model_type": "gpt2"}, 'models of the kind "gpt2"'),
        ({"model_type": "llama", "rope_scaling": {"type": "dynamic"}}, '"dynamic"'),
        ({"model_type": "phi3", "rope_parameters": {"rope_type": "longrope"}}, '"longrope"'),
    ],
)
def test_a_model_that_can_not_be_written_is_refused(config: dict[str, Any], words: str) -> None:
    with pytest.raises(AfinaError, match=words):
        family_of(config)


def test_every_family_is_tested() -> None:
    kinds = {name.split()[0].replace("gemma3", "gemma3_text") for name in built.MODELS}
    assert kinds == FAMILIES.keys()


def test_a_builder_that_was_changed_stops_the_export() -> None:
    with pytest.raises(AfinaError, match=r"builds models in another way than 0\.18"):
        patches.check(SimpleNamespace(), SimpleNamespace(Model=SimpleNamespace), math)


def build_plainly(send: Send, orders: list[Order]) -> None:
    """The builder as it is, on a folder of transformers."""
    builder, _ = load_builder()
    for order in orders:
        run_builder(builder, order)


def contents(folder: Path) -> tuple[list[Any], dict[str, np.ndarray]]:
    """Nodes and weights of a model, by name."""
    model = onnx.load(str(folder / "model.onnx"))
    nodes = sorted(
        (n.name, n.op_type, tuple(n.input), tuple(n.output), sorted(map(str, n.attribute)))
        for n in model.graph.node
    )
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    return nodes, weights
