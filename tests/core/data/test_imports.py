"""The law of imports: the data room is light."""

from __future__ import annotations

import subprocess
import sys

from core.paths import ROOT

HEAVY = (
    *("torch", "transformers", "datasets", "peft", "trl", "pyarrow", "llama_cpp", "onnxruntime"),
    *("numpy", "huggingface_hub", "tokenizers", "jinja2"),
)


def test_no_module_of_the_data_room_loads_anything_heavy() -> None:
    folder = ROOT / "core" / "data"
    names = [f"core.data.{path.stem}" for path in folder.glob("*.py") if path.stem != "jinja"]
    script = (
        "import importlib, sys\n"
        f"for name in {['core.pipe', 'tui.cli.data', *names]!r}: importlib.import_module(name)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
