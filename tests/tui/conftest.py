"""A tiny model and a small data file for the screens."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tui.pilots import byte_model, chat, write_rows


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return byte_model(tmp_path_factory.mktemp("models") / "bytes")


@pytest.fixture
def rows_file(tmp_path: Path) -> Path:
    """Forty sound rows."""
    rows = [chat(f"Question {number}?", f"Answer {number}.") for number in range(1, 41)]
    return write_rows(tmp_path / "rows.jsonl", rows)
