"""What there is to chat with in a home: runs, their checkpoints, bases and exports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from core import samples
from core.model_files.onnx import ADAPTER, ADAPTERS, BUILDING
from core.runs.run import Run, all_runs
from core.runs.target import split_point
from exporters.files import ASIDE
from exporters.results import FAILED, PART

EXPORTED = ("gguf", "onnx", "merged")
NOT_OFFERED = {PART, BUILDING, FAILED, ASIDE}  # endings of what is at work, wrong, or about to go


class Offer(NamedTuple):
    """One TARGET that can be opened."""

    word: str  # for core.runs.target.resolve
    name: str
    what: str  # "tuned", "checkpoint", "base", or a kind of export


def offers(home: Path) -> list[Offer]:
    """Every target under a home, those of the newest run first."""
    found = [offer for run in all_runs(home) for offer in _of_run(run)]
    for folder in sorted((home / "exports").glob("*")):
        found += _exports(folder)
    if (samples.TINY_MODEL / "config.json").is_file():
        found.append(Offer(str(samples.TINY_MODEL), samples.TINY_MODEL.name, "sample base"))
    return found


def default_words(home: Path) -> list[str]:
    """Base beside tuned of the newest run that has a result; else the sample base."""
    for run in all_runs(home):
        if run.result is not None:
            return [f"{run.id}@base", run.id]
    if (samples.TINY_MODEL / "config.json").is_file():
        return [str(samples.TINY_MODEL)]
    return []


def words_of(home: Path, subject: str) -> list[str]:
    """The columns for one subject: its base or its tuned model beside it, where there is one."""
    if "\n" in subject:
        return subject.split("\n")
    path = Path(subject)
    if path.suffix == ".gguf" or path.is_dir():
        origin = _origin_of_export(home, path)
        return [origin, subject] if origin else [subject]
    name = split_point(subject)[0]
    if subject != f"{name}@base" and any(name in (run.id, run.name) for run in all_runs(home)):
        return [f"{name}@base", subject]
    return [subject]


def _of_run(run: Run) -> Iterator[Offer]:
    if run.result is not None:
        yield Offer(run.id, run.name, "tuned")
    for folder in sorted((run.directory / "exports").glob("**/")):
        yield from _exports(folder)
    for folder in reversed(run.checkpoints()):
        step = int(folder.name.removeprefix("step-"))
        yield Offer(f"{run.id}@{step}", f"{run.name} @ {step}", "checkpoint")
    yield Offer(f"{run.id}@base", f"{run.name} @ base", "base")


def _exports(folder: Path) -> Iterator[Offer]:
    """What of one exports' folder answers by itself; a GGUF adapter goes over a base."""
    for path in _whole((folder / "gguf").glob("*.gguf")):
        if not path.stem.endswith("-lora"):
            yield Offer(str(path), path.stem, "gguf")
    for path in _whole(path.parent for path in (folder / "onnx").glob("*/genai_config.json")):
        yield from _onnx(path)
    for path in _whole(path.parent for path in (folder / "merged").glob("*/config.json")):
        yield Offer(str(path), path.name, "merged")


def _onnx(folder: Path) -> Iterator[Offer]:
    """An ONNX folder, or each adapter of one that runs share."""
    adapters = _whole(folder.glob(f"{ADAPTERS}/*{ADAPTER}"))
    for path in adapters or [folder]:
        yield Offer(str(path), path.stem if adapters else path.name, "onnx")


def _whole(paths: Iterable[Path]) -> list[Path]:
    """Those that are finished and passed their check, in the order of their names."""
    return sorted(path for path in paths if not NOT_OFFERED & {*path.suffixes[-2:]})


def _origin_of_export(home: Path, path: Path) -> str | None:
    """The TARGET of an export: in <run>/exports/<kind>/, or in exports/<point>/<kind>/."""
    parents = path.resolve().parents
    for run in all_runs(home):
        exports = run.directory.resolve() / "exports"
        if exports in parents[1:]:
            return run.id if parents[1] == exports else f"{run.id}@{parents[1].name}"
    return None
