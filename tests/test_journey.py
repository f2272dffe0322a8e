"""The whole journey as a new user makes it: `afina demo` without a terminal, from data to GGUF.

It trains, so it is the longest test by far; everything that the README promises hangs on it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.runs.run import all_runs
from core.runs.target import resolve

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.timeout(1500)
def test_the_demo_goes_from_the_data_to_a_tuned_gguf_that_answers(home: Path) -> None:
    run = subprocess.run(
        [sys.executable, str(ROOT / "afina.py"), "demo", "--headless"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": str(os.cpu_count() or 1), "COLUMNS": "100"},
        cwd=home,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    table = run.stdout.rpartition("must be")[2]
    assert "NO" not in table
    assert table.count("parity pass") == 6  # measured and wanted, for three types
    (trained,) = all_runs(home)
    assert trained.state().state == "done"
    assert resolve(home, trained.id).adapter == str(trained.directory / "adapter")
    files = sorted(path.name for path in (trained.directory / "exports" / "gguf").glob("*.gguf"))
    assert files == [f"travel-lora-{kind}.gguf" for kind in ("f16", "q4_k_m", "q8_0")]
