"""The only way in: the app, the commands, and every process that the app starts.

`core`, `exporters` and `tui` are names that other projects use too. Importing this module claims
them for the folders beside it, whatever stands in the working directory or on PYTHONPATH; spawned
children import it again and claim them too.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

__version__ = "0.1.0"

ROOT = Path(__file__).resolve().parent


def _claim(name: str) -> None:
    """Puts the package that lies beside this file into sys.modules under its name."""
    entry = ROOT / name / "__init__.py"
    there = sys.modules.get(name)
    if there is not None and getattr(there, "__file__", None) == str(entry):
        return
    for module in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
        del sys.modules[module]
    spec = importlib.util.spec_from_file_location(
        name, entry, submodule_search_locations=[str(entry.parent)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"Afina's own package {name} is not at {entry}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


for _name in ("core", "exporters", "tui"):
    _claim(_name)


def main() -> None:
    """Runs the command line."""
    if sys.argv[1:2] == ["worker"]:
        from core.workers import main as worker

        raise SystemExit(worker(sys.argv[2:]))
    from tui.cli.main import command

    command()


if __name__ == "__main__":
    main()
