"""What holds for every test: no network, no hub, a home of its own, threads that leave room."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

import pytest

import afina  # noqa: F401 - claims core, exporters and tui before a test imports them

NO_NETWORK = Path(__file__).parent / "no_network"

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(NO_NETWORK), *filter(None, [os.environ.get("PYTHONPATH")])]
)
runpy.run_path(str(NO_NETWORK / "sitecustomize.py"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home for runs that only this test sees."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("AFINA_HOME", str(folder))
    return folder
