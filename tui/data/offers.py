"""The data files worth offering: those opened before, then the samples that ship with Afina."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.data.files.formats import ending_of
from core.samples import TRAVEL, TRAVEL_EVAL
from tui.data.dataset import Subject
from tui.dialogs.path import Offer

GLOB = "*?["


def name_of(subject: Subject) -> str:
    """What the frame calls the data: "travel.jsonl", "shards/", "*.jsonl", and further files."""
    if not subject.path:
        return "data"
    path = Path(subject.path)
    name = f"{path.name}/" if path.is_dir() else path.name or subject.path
    return name + (f" + {len(subject.mix)} more" if subject.mix else "")


def can_be_data(path: Path) -> bool:
    """Whether a file's name is one of a data file."""
    return ending_of(path) is not None


def offers(recent: Sequence[str]) -> list[Offer]:
    """The files that are there, each once."""
    folder = TRAVEL.parent
    samples = [TRAVEL, TRAVEL_EVAL, folder / "broken.jsonl", *sorted((folder / "shapes").glob("*"))]
    found = {Path(path): "recent" for path in recent}
    for path in samples:
        if can_be_data(path):
            found.setdefault(path, "sample")
    return [Offer(path, why) for path, why in found.items() if _is_there(path)]


def _is_there(path: Path) -> bool:
    return path.exists() or any(letter in path.name for letter in GLOB)
