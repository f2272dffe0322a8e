"""`afina doctor`: what this machine has, what is missing, and what to do about it."""

from __future__ import annotations

import json as jsonlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Annotated

import msgspec
import typer

from core.environment import worker_environment
from core.paths import ROOT, home

PACKAGES = (
    "textual",
    "torch",
    "transformers",
    "peft",
    "trl",
    "accelerate",
    "datasets",
    "tokenizers",
    "safetensors",
    "bitsandbytes",
    "gguf",
    "llama-cpp-python",
)

# Each runs in a process of its own: a broken build takes that process with it and nothing else.
PROBES = {
    "torch": "import torch; a = torch.ones(64, 64); assert float((a @ a)[0, 0]) == 64; "
    "print(torch.__version__, 'on', torch.cuda.get_device_name() "
    "if torch.cuda.is_available() else 'cpu')",
    "llama.cpp": "import llama_cpp; print('llama-cpp-python', llama_cpp.__version__)",
    "trainer": "import trl, peft; from trl import SFTTrainer; print('trl', trl.__version__)",
}


class Finding(msgspec.Struct):
    """One line of the report."""

    name: str
    state: str  # "ok", "warning" or "problem"
    value: str
    hint: str = ""


def doctor(
    json: Annotated[bool, typer.Option("--json", help="One object on stdout.")] = False,
) -> None:
    """Say what this machine has and what is missing; exit code 1 when something doesn't work."""
    findings = []
    for finding in diagnose():
        findings.append(finding)
        if not json:
            _print(finding)
    broken = any(finding.state == "problem" for finding in findings)
    if json:
        typer.echo(jsonlib.dumps({"ok": not broken, "findings": msgspec.to_builtins(findings)}))
    raise typer.Exit(1 if broken else 0)


def diagnose() -> Iterator[Finding]:
    """Every finding, quick ones first."""
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.machine()}")
    yield _home()
    yield _terminal()
    yield _editor()
    yield Finding("hub", "ok", "offline" if os.environ.get("HF_HUB_OFFLINE") else "only when named")
    yield from _versions()
    for name, code in PROBES.items():
        yield _probe(name, code)


def _home() -> Finding:
    folder = home()
    there = next(path for path in [folder, *folder.parents] if path.exists())
    free_gib = shutil.disk_usage(there).free / 2**30
    value = f"{folder}, {free_gib:,.1f} GiB free"
    if not os.access(there, os.W_OK):
        return Finding("home", "problem", value, "It can't be written: use --home DIR.")
    if free_gib < 2:
        return Finding("home", "warning", value, "Checkpoints and exports may not fit.")
    return Finding("home", "ok", value)


def _terminal() -> Finding:
    size = shutil.get_terminal_size()
    colours = os.environ.get("TERM", "not set")
    value = f"{size.columns}x{size.lines}, TERM {colours}"
    if not sys.stdout.isatty():
        return Finding("terminal", "ok", "none: commands only")
    if size.columns < 60 or size.lines < 16:
        return Finding("terminal", "warning", value, "The workbench needs 60x16.")
    if "256color" not in colours and not os.environ.get("COLORTERM"):
        return Finding("terminal", "warning", value, "Set TERM to one with 256 colours.")
    return Finding("terminal", "ok", value)


def _editor() -> Finding:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    found = shutil.which((editor or "vi").split()[0])
    if found:
        return Finding("editor", "ok", editor or "vi")
    return Finding("editor", "warning", editor or "none", "Set $EDITOR to edit the YAML.")


def _versions() -> Iterator[Finding]:
    from importlib import metadata

    tested = _tested_versions()
    for name in PACKAGES:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding(name, "problem", "not installed", "Install Afina again with pip.")
            continue
        wanted = tested.get(name)
        value = (
            version if wanted in (None, version.split("+")[0]) else f"{version}, tested {wanted}"
        )
        yield Finding(name, "ok", value)


def _tested_versions() -> dict[str, str]:
    """The versions of constraints.txt, where there is a checkout; else none."""
    file = ROOT / "constraints.txt"
    if not file.is_file():
        return {}
    lines = (line.partition("==") for line in file.read_text().splitlines() if "==" in line)
    return {name.lower().replace("_", "-"): version for name, _, version in lines}


def _probe(name: str, code: str) -> Finding:
    try:
        run = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=180,
            env=worker_environment(),
        )
    except subprocess.TimeoutExpired:
        return Finding(name, "problem", "no answer in 180 s", "Is the machine very busy?")
    if run.returncode == 0:
        return Finding(name, "ok", f"works: {run.stdout.strip().splitlines()[-1]}")
    last = (run.stderr.strip().splitlines() or [f"ended by signal {-run.returncode}"])[-1]
    return Finding(name, "problem", last, "Install Afina again with pip; see the README.")


def _print(finding: Finding) -> None:
    mark = {"ok": " ", "warning": "!", "problem": "x"}[finding.state]
    typer.echo(f"{mark} {finding.name:<18} {finding.value}  {finding.hint}".rstrip())
