"""Models that several export tests share; each is built once."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.runs.target import Target
from tests.exporters import models


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama that answers models.ANSWER."""
    folder = tmp_path_factory.mktemp("models") / "base"
    models.make_model(folder)
    return folder


@pytest.fixture(scope="session")
def adapter(base: Path) -> Path:
    """A LoRA over it that changes what it says, not where it stops."""
    folder = base.parent / "adapter"
    models.make_adapter(folder, base)
    return folder


@pytest.fixture(scope="session")
def tuned(base: Path, adapter: Path) -> Target:
    return Target(str(base), "hf", str(base), adapter=str(adapter), label="base + adapter")
