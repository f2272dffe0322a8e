"""What there is to chat with in a home: runs, their checkpoints, bases and exports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from core import samples
from core.config import Config
from core.data.sample import Conversation
from core.data.shapes import SHAPES, read_sample, shape_of
from core.runs import Run, all_runs

MOST_BYTES = 1 << 20  # of a first row


class Offer(NamedTuple):
    """One TARGET that can be opened."""

    word: str  # for core.targets.resolve
    name: str
    what: str  # "tuned", "checkpoint", "base", "gguf"


def offers(home: Path) -> list[Offer]:
    """Every target under a home, those of the newest run first."""
    found = [offer for run in all_runs(home) for offer in _of_run(run)]
    for path in sorted((home / "exports").glob("*/gguf/*.gguf")):
        found.append(Offer(str(path), path.stem, "gguf"))
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
    if path.suffix == ".gguf":
        origin = _origin_of_export(home, path)
        return [origin, subject] if origin else [subject]
    name = subject.partition("@")[0]
    if subject != f"{name}@base" and any(name in (run.id, run.name) for run in all_runs(home)):
        return [f"{name}@base", subject]
    return [subject]


def first_system_prompt(config: Config) -> str:
    """The system prompt of the first row that a run trains on; empty when there is none.

    Only the first line is read, so a file whose rows span lines has none for us.
    """
    try:
        with open(config.data.path, "rb") as file:
            value = msgspec.json.decode(file.readline(MOST_BYTES))
    except (OSError, msgspec.DecodeError):
        return ""
    if not isinstance(value, dict | list):
        return ""
    shape = shape_of(value) if config.data.format == "auto" else config.data.format
    sample = read_sample(shape, value).sample if shape in SHAPES else None
    if not isinstance(sample, Conversation) or not sample.messages:
        return ""
    first = sample.messages[0]
    return str(first.get("content") or "") if first.get("role") == "system" else ""


def _of_run(run: Run) -> Iterator[Offer]:
    if run.result is not None:
        yield Offer(run.id, run.name, "tuned")
    for path in sorted((run.directory / "exports").glob("**/gguf/*.gguf")):
        yield Offer(str(path), path.stem, "gguf")
    for folder in reversed(run.checkpoints()):
        step = int(folder.name.removeprefix("step-"))
        yield Offer(f"{run.id}@{step}", f"{run.name} @ {step}", "checkpoint")
    yield Offer(f"{run.id}@base", f"{run.name} @ base", "base")


def _origin_of_export(home: Path, path: Path) -> str | None:
    """The TARGET that a file was exported from: <run>/exports/gguf/, or exports/<point>/gguf/."""
    parents = path.resolve().parents
    for run in all_runs(home):
        exports = run.directory.resolve() / "exports"
        if exports in parents[1:]:
            return run.id if parents[1] == exports else f"{run.id}@{parents[1].name}"
    return None
