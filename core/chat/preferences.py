"""Votes as rows that TRL's DPOTrainer reads as they are: prompt, chosen, rejected.

Ties and "both bad" say nothing about which answer is better, so they leave no row.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from core.errors import AfinaError
from core.paths import make_folder


def preference_file(home: Path) -> Path:
    return home / "preferences.jsonl"


def prefer(home: Path, prompt: list[dict[str, Any]], chosen: str, rejected: str) -> bool:
    """Appends one row: of two answers to `prompt` the better.

    Returns False, and writes nothing, when both are the same. Raises AfinaError when the file
    can't be written.
    """
    if chosen.strip() == rejected.strip():
        return False
    row = {
        "prompt": prompt,
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
    }
    path = preference_file(make_folder(home))
    try:
        with open(path, "ab", buffering=0) as file:
            file.write(msgspec.json.encode(row) + b"\n")  # one call: two apps don't mix their lines
    except OSError as error:
        raise AfinaError(
            f'Can\'t write "{path}": {error.strerror}.', "Free the disk or change the home."
        ) from error
    return True


def count(home: Path) -> int:
    """How many preferences were given so far."""
    path = preference_file(home)
    return path.read_bytes().count(b"\n") if path.is_file() else 0
