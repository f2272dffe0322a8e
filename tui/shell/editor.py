"""The person's own editor, for a text that is edited outside the app."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from core.errors import AfinaError

FALLBACKS = ("nano", "vim", "vi", "emacs")


def command() -> list[str]:
    """The words of $VISUAL or $EDITOR, else an editor that is there; AfinaError when none is."""
    for name in ("VISUAL", "EDITOR"):
        if os.environ.get(name, "").strip():
            return shlex.split(os.environ[name])
    for name in FALLBACKS:
        if shutil.which(name):
            return [name]
    raise AfinaError("There is no editor.", "Set $EDITOR.")


def fallback() -> str:
    """The editor that is taken because none is named; empty where the person has named one."""
    named = any(os.environ.get(name, "").strip() for name in ("VISUAL", "EDITOR"))
    return "" if named else command()[0]


def edit(text: str, suffix: str) -> str:
    """The text after the person has edited it; the terminal has to be free for the editor."""
    with tempfile.TemporaryDirectory(prefix="afina-") as folder:
        path = Path(folder) / f"edit{suffix}"
        path.write_text(text, encoding="utf-8")
        return edit_file(path)


def edit_file(path: Path) -> str:
    """The text of a file after the person has edited it; the file keeps it, whatever happens."""
    words = command()
    try:
        code = subprocess.run([*words, str(path)], check=False).returncode
    except OSError as error:
        raise AfinaError(
            f'Can\'t start the editor "{words[0]}": {error.strerror}.', "Set $EDITOR."
        ) from error
    if code != 0:
        raise AfinaError(f'The editor "{words[0]}" ended with exit code {code}.')
    return path.read_text(encoding="utf-8", errors="replace")
