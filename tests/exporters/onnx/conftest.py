"""ONNX folders of models without adapters, built once in one process for all tests of adapters."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.runs.target import Target
from exporters.contract import Working
from exporters.onnx.build_worker import Order
from exporters.onnx.builder import build
from exporters.onnx.config import finish
from exporters.onnx.exporter import Onnx
from exporters.onnx.source import write_source
from tests.exporters.families import make_model
from tests.exporters.onnx.built import MODELS


def working(scratch: Path) -> Working:
    """What a job lends, without anybody who listens or cancels."""
    scratch.mkdir(parents=True, exist_ok=True)
    return Working(lambda *_: None, lambda: None, scratch, 1)


@pytest.fixture(scope="session")
def phi3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with joined layers, which the builder takes apart."""
    folder = tmp_path_factory.mktemp("phi3") / "phi3"
    make_model(folder, *MODELS["phi3"])
    return folder


@pytest.fixture(scope="session")
def built(base: Path, phi3: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tiny base as fp32 and int4, and "phi3" as fp32."""
    folder = tmp_path_factory.mktemp("built")
    wanted = {"fp32": (base, "fp32"), "int4": (base, "int4"), "phi3": (phi3, "fp32")}
    companions, orders = {}, []
    for name, (model, type_name) in wanted.items():
        companions[name] = Onnx(Target(str(model), "hf", str(model), label=model.name)).model
        source = folder / f"{name}-source"
        write_source(source, companions[name].merged)
        orders.append(Order(str(model), None, str(source), str(folder / name), type_name))
    build(orders, working(folder / "scratch"))
    for name, (_, type_name) in wanted.items():
        finish(folder / name, companions[name], type_name)
    return {name: folder / name for name in wanted}
