"""The data files worth offering: those opened before, then the samples that ship with Afina."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.samples import TRAVEL, TRAVEL_EVAL
from tui.screens.dialogs.path import Offer

SUFFIXES = (".jsonl", ".ndjson", ".json", ".txt", ".md")


def offers(recent: Sequence[str]) -> list[Offer]:
    """The files that are there, each once."""
    folder = TRAVEL.parent
    samples = [TRAVEL, TRAVEL_EVAL, folder / "broken.jsonl", *sorted((folder / "shapes").glob("*"))]
    found = {Path(path): "recent" for path in recent}
    for path in samples:
        if path.suffix in SUFFIXES:
            found.setdefault(path, "sample")
    return [Offer(path, why) for path, why in found.items() if path.is_file()]
