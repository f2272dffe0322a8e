"""Room on the disk for one more checkpoint, before it is written."""

from __future__ import annotations

from pathlib import Path
from shutil import disk_usage

from core.figures import size
from core.runs.finding import Finding
from core.train.checkpoint import manifest as checkpoints

MARGIN_BYTES = 4 << 20  # for the events and the state
MARGIN_SHARE = 0.05  # of a checkpoint: optimizers keep some of their state from the first steps on


def needed(run: Path) -> int | None:
    """Bytes that the next checkpoint takes, by the newest one; None when there is none yet."""
    for folder in reversed(checkpoints.step_folders(run)):
        if (manifest := checkpoints.read(folder)) is not None:
            return round(manifest.bytes * (1 + MARGIN_SHARE)) + MARGIN_BYTES
    return None


def make_room(run: Path, wanted: int | None, best_step: int | None) -> tuple[bool, Finding | None]:
    """Whether there is room for so many bytes, once all but the newest and the best had to go.

    The finding says what was deleted, or what is missing.
    """
    if wanted is None or disk_usage(run).free >= wanted:
        return True, None
    removed = checkpoints.prune(run, 1, best_step)
    free = disk_usage(run).free
    if free >= wanted:
        gone = "1 older checkpoint was" if len(removed) == 1 else f"{len(removed)} older ones were"
        message = f"The disk is nearly full: {gone} deleted for the next checkpoint."
        return True, Finding("warning", message, "Free some space.")
    missing = f"a checkpoint needs {size(wanted)}, and {size(free)} are free"
    return False, Finding(
        "error",
        f"The disk is full: {missing}.",
        "The run pauses. Free some space, then resume it.",
    )
