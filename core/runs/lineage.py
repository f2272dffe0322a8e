"""Which runs a run goes on from, recorded when it begins and told wherever it is shown.

A run keeps a copy of the adapter that it began with, so the earlier one may be deleted; a model is
not copied. Loads no torch.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import msgspec

from core.paths import sync_folder, write_atomic
from core.runs.continue_from import SETTINGS, WEIGHTS, find
from core.runs.finding import Finding
from core.runs.run import Run, all_runs

FILE, START = "lineage.json", "start"  # in a run's directory; START is the adapter as it began


class Lineage(msgspec.Struct, frozen=True):
    """What a run goes on from, as lineage.json holds it."""

    continues: str  # id of a run, or a folder
    point: str | int | None  # "result" or a step; None for a folder
    base: str  # folder or hub id
    sha256: str  # of the weights it began from
    ancestors: list[str] = []  # ids, oldest first


def of(run: Run) -> Lineage | None:
    """What a run goes on from; None for one that began anew, or whose record can't be read."""
    try:
        return msgspec.json.decode((run.directory / FILE).read_bytes(), type=Lineage)
    except (OSError, msgspec.DecodeError):
        return None


def record(run: Run, home: Path) -> Lineage | None:
    """Writes lineage.json of a run that begins, and keeps the adapter as it is now.

    Returns None for a run that begins anew. What was recorded once stays.
    """
    word = run.config.model.continue_from
    known = of(run)
    if word is None or known is not None:
        return known
    begin = find(home, word, run.config.model.name_or_path)
    if begin.adapter is not None:
        _keep(begin.folder, run.directory / START)
    before = of(begin.run) if begin.run else None
    ancestors = [*(before.ancestors if before else []), *([begin.run.id] if begin.run else [])]
    lineage = Lineage(
        begin.run.id if begin.run else str(begin.folder),
        begin.point,
        begin.base,
        _sha256(begin.folder),
        ancestors,
    )
    write_atomic(run.directory / FILE, msgspec.json.format(msgspec.json.encode(lineage)))
    return lineage


def told(run: Run, lineage: Lineage) -> Finding:
    """What is said of a run that goes on from another."""
    point = f" at step {lineage.point}" if isinstance(lineage.point, int) else ""
    if (run.directory / START).is_dir():
        what = f"Its {run.config.method.kind} adapter learns on; targets and rank come from it."
    else:
        what = "Its model is the base."
    message = f'The run goes on from "{lineage.continues}"{point}.'
    return Finding("note", message, what)


def leaning_on(home: Path, run: Run) -> list[Run]:
    """The runs whose base model lies in a run's directory, newest first.

    Those that are whole models themselves and done need it no more.
    """
    found = []
    for other in all_runs(home):
        lineage = of(other)
        if lineage is None or not Path(lineage.base).is_relative_to(run.directory):
            continue
        if not (other.directory / "model" / "manifest.json").is_file():
            found.append(other)
    return found


def _keep(source: Path, target: Path) -> None:
    """Copies an adapter's folder without what only its own run needs; whole or not at all."""
    part = target.with_name(target.name + ".part")
    for folder in (part, target):
        shutil.rmtree(folder, ignore_errors=True)
    part.mkdir()
    for name in (SETTINGS, WEIGHTS, "config.json"):
        if (source / name).is_file():
            shutil.copyfile(source / name, part / name)
            with open(part / name, "rb") as file:
                os.fsync(file.fileno())
    os.replace(part, target)
    sync_folder(target.parent)


def _sha256(folder: Path) -> str:
    """Of the weights' file; of several, of their names and hashes."""
    hashes = {}
    for path in sorted(folder.glob("*.safetensors")):
        with open(path, "rb") as file:
            hashes[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    lines = "".join(f"{name}:{value}\n" for name, value in hashes.items())
    return hashlib.sha256(lines.encode()).hexdigest()
