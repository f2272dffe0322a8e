"""Where Afina keeps things, and how it writes a file that a crash can't leave half done."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from core.errors import AfinaError

ROOT = (
    Path(__file__).resolve().parent.parent
)  # the folder of afina.py, in a checkout and in site-packages
SAMPLE_DATA = ROOT / "sample_data"


def home(given: str | os.PathLike[str] | None = None) -> Path:
    """The home of runs and caches: the one given, else $AFINA_HOME, else the user data folder."""
    chosen = given or os.environ.get("AFINA_HOME")
    if chosen:
        return Path(chosen).expanduser().resolve()
    import platformdirs

    return Path(platformdirs.user_data_dir("afina", appauthor=False))


def cache_folder() -> Path:
    """Where things are kept that can be made again: deleting it costs time and nothing else."""
    return home() / "cache"


def make_folder(path: Path) -> Path:
    """Creates a folder with its parents; raises AfinaError with the reason when it can't."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AfinaError(
            f'Can\'t create the folder "{path}": {error.strerror}.',
            "Choose another with --home DIR or $AFINA_HOME.",
        ) from error
    return path


def write_atomic(path: Path, content: bytes | str) -> None:
    """Replaces a file as a whole: written beside it, synced to disk, then renamed over it.

    Its rights are those of the file that it replaces, else those of any new file.
    """
    data = content.encode() if isinstance(content, str) else content
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(beside, "xb") as file:  # with the rights that the umask leaves
            with suppress(FileNotFoundError):
                os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Makes the names in a folder durable, so that a rename survives a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
