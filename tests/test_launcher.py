"""The launcher: which packages are ours, in every process, and how little the app loads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ["torch", "transformers", "datasets", "peft", "trl", "accelerate"]
HEAVY += ["pyarrow", "llama_cpp", "onnxruntime"]


def python(*words: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A folder with a core package that belongs to somebody else."""
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "__init__.py").write_text("raise SystemExit('the foreign core')")
    return tmp_path


def test_a_foreign_core_in_the_working_directory_does_not_win(foreign: Path) -> None:
    run = python(str(ROOT / "afina.py"), "--version", cwd=foreign)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("afina ")


def test_a_foreign_core_on_pythonpath_does_not_win(foreign: Path) -> None:
    run = python("-c", "import afina, core; print(core.__file__)", PYTHONPATH=f"{foreign}:{ROOT}")
    assert run.stdout.strip() == str(ROOT / "core" / "__init__.py"), run.stderr


def test_a_foreign_core_that_was_imported_first_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "__init__.py").write_text("foreign = True")
    code = "import core; assert core.foreign; import afina, core as ours; print(ours.__file__)"
    run = python("-c", code, cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert run.stdout.strip() == str(ROOT / "core" / "__init__.py"), run.stderr


def test_spawned_children_get_our_packages_too(foreign: Path, tmp_path: Path) -> None:
    script = tmp_path / "spawns.py"
    script.write_text(
        "import multiprocessing as m, afina\n"
        "def where(_):\n"
        "    import core\n"
        "    return core.__file__\n"
        "if __name__ == '__main__':\n"
        "    with m.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.map(where, [0])[0])\n"
    )
    run = python(str(script), PYTHONPATH=f"{foreign}:{ROOT}")
    assert run.stdout.strip() == str(ROOT / "core" / "__init__.py"), run.stderr


def test_a_worker_of_an_unknown_kind_is_refused() -> None:
    run = python(str(ROOT / "afina.py"), "worker", "nothing")
    assert run.returncode == 2
    assert "nothing" in run.stderr


LIGHT = [
    "tui.app",
    "core.config",
    "core.config.config_io",
    "core.runs.run",
    "core.events",
    "core.jobs",
    "core.runs.target",
    "core.data.analysis.checks",
    "core.data.encode.encoder",
    "core.data.worker.worker",
    "core.chat.client",
    "exporters.job.request",
    "exporters.job.plan",
    "tui.cli.main",
    *(f"tui.{name}.pane" for name in ("data", "train", "runs", "chat", "export")),
]


def test_what_the_app_and_the_commands_import_is_light() -> None:
    code = (
        "import sys, importlib, afina\n"
        f"for name in {LIGHT}:\n"
        "    importlib.import_module(name)\n"
        f"    heavy = sorted(set({HEAVY}) & set(sys.modules))\n"
        "    assert not heavy, (name, heavy)\n"
    )
    run = python("-c", code)
    assert run.returncode == 0, run.stderr


COMMANDS = ["", "train", "runs", "watch", "stop", "checkpoint", "resume", "chat", "export"]


@pytest.mark.parametrize("command", [*COMMANDS, "doctor", "demo", "data check", "data show"])
def test_help_is_light(command: str) -> None:
    code = (
        "import sys, afina\n"
        f"sys.argv = ['afina', *{command.split()}, '--help']\n"
        "try:\n"
        "    afina.main()\n"
        "except SystemExit as end:\n"
        "    assert end.code in (0, None), end.code\n"
        f"heavy = sorted(set({HEAVY}) & set(sys.modules))\n"
        "assert not heavy, heavy\n"
    )
    run = python("-c", code)
    assert run.returncode == 0, run.stderr
    assert "Usage: " in run.stdout
