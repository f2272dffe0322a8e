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
    paths = [path.relative_to(ROOT).with_suffix("") for path in folder.rglob("*.py")]
    names = [
        ".".join(path.parts)
        for path in paths
        if path.stem not in ("jinja", "template_trace", "__init__")
    ]
    script = (
        "import importlib, sys\n"
        f"for name in {['core.pipe', 'tui.cli.data', *names]!r}: importlib.import_module(name)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
