"""ONNX folders of the tiny base model, built once in one process for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.targets import Target
from exporters.exporter import Working
from exporters.onnx.exporter import Onnx


def working(scratch: Path) -> Working:
    """What a job lends, without anybody who listens or cancels."""
    scratch.mkdir(parents=True, exist_ok=True)
    return Working(lambda *_: None, lambda: None, scratch, 1)


@pytest.fixture(scope="session")
def built(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The base without an adapter, by type: fp32 and int4."""
    folder = tmp_path_factory.mktemp("built")
    outputs = {name: folder / name for name in ("fp32", "int4")}
    target = Target(str(base), "hf", str(base), label="base")
    Onnx(target).write(outputs, working(folder / "scratch"))
    return outputs
