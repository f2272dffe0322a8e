"""A tiny model, an adapter for it and its GGUF file, made once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.core.chat import tiny, tiny_onnx


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tiny.write_model(folder)
    return folder


@pytest.fixture(scope="session")
def adapter(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter")
    tiny.write_adapter(model, folder)
    return folder


@pytest.fixture(scope="session")
def gguf_file(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tiny-f32.gguf"
    tiny.write_gguf(model, path)
    return path


@pytest.fixture(scope="session")
def onnx_folder(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx") / "tiny"
    tiny_onnx.write_onnx(model, folder)
    return folder
