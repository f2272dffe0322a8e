"""The code of a custom loss as a run keeps it: a copy in its directory, with its hash.

A run goes on with the code that it began with, whatever becomes of the file. Loads no torch.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from core.errors import AfinaError
from core.paths import write_atomic
from core.runs.finding import Finding

COPY, HASH = "custom_loss.py", "custom_loss.sha256"


def keep(word: str, run: Path) -> None:
    """Copies the file that `train.custom_loss` names into a new run's directory."""
    path = Path(word.rpartition(":")[0]).expanduser()
    try:
        code = path.read_bytes()
    except OSError as error:
        raise AfinaError(
            f'Can\'t read the custom loss "{path}": {error.strerror}.',
            "Check train.custom_loss; it is loss.py:function or loss.py:Class.",
        ) from error
    write_atomic(run / COPY, code)
    write_atomic(run / HASH, f"{hashlib.sha256(code).hexdigest()}  {COPY}\n")


def kept(run: Path) -> Path:
    """The run's copy; raises AfinaError where it is gone or not what the run began with."""
    path = run / COPY
    try:
        code, begun = path.read_bytes(), (run / HASH).read_text(encoding="utf-8").split()[0]
    except (OSError, IndexError) as error:
        raise AfinaError(
            f'The run\'s copy of its custom loss, "{path}", is gone.', "Start a new run."
        ) from error
    if hashlib.sha256(code).hexdigest() != begun:
        raise AfinaError(
            f'"{path}" is no longer the code that this run began with.',
            "Put it back as it was, or start a new run with the changed loss.",
        )
    return path


def changed(word: str, run: Path) -> Finding | None:
    """What is said where the file that was copied has changed since, or is gone."""
    path = Path(word.rpartition(":")[0])
    try:
        now = hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        now = b""
    if now == hashlib.sha256((run / COPY).read_bytes()).digest():
        return None
    return Finding(
        "note",
        f'"{path}" {"has changed" if now else "is gone"} since this run was made; the run uses '
        f"its own copy, {COPY}.",
        "Start a new run to train with the file as it is now.",
    )
