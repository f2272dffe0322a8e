"""Folders that are complete or don't count: checkpoints and results with their manifest.

The manifest (files, sizes, hashes, step, counters) is written last and synced to disk, so a folder
without one is the rest of a crash. What is inside the folders is not decided here.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from core.paths import sync_folder, write_atomic
from core.runs.run import is_complete, step_folders, step_of

MANIFEST = "manifest.json"
VERSION = 1
HASHING = 4  # files that are synced and hashed at once; the disk and the hash wait on one another
FULL_BYTES = 2**20  # a write that failed with less than this free failed for want of room
STALE_S = 60.0  # a half-written small file of this age is nobody's any more


class FileRecord(msgspec.Struct, frozen=True):
    """One file of a folder as it was written."""

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a complete folder says of itself; fields that a newer version adds are ignored."""

    step: int
    files: dict[str, FileRecord]
    progress: dict[str, Any] = {}  # counters that a resumed run goes on from
    created: float = 0.0  # seconds since the epoch
    v: int = VERSION

    @property
    def bytes(self) -> int:
        return sum(record.bytes for record in self.files.values())


def step_folder(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step-{step:06d}"


def write(
    folder: Path, step: int, save: Callable[[Path], None], progress: dict[str, Any]
) -> Manifest:
    """Fills a folder by `save` and completes it; a folder that fails to fill is removed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        save(folder)
        manifest = _describe(folder, step, progress)
        write_atomic(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
    except BaseException as error:
        said = _of_the_disk(error, folder)
        shutil.rmtree(folder, ignore_errors=True)
        if said is not None:
            raise said from error
        raise
    sync_folder(folder.parent)
    return manifest


def _of_the_disk(error: BaseException, folder: Path) -> OSError | None:
    """A failure to write that torch or safetensors say in words of their own."""
    if type(error).__name__ not in ("SafetensorError", "RuntimeError"):
        return None
    number = re.search(r"\(os error (\d+)\)", str(error))  # safetensors, which is Rust
    if number:
        return OSError(int(number[1]), os.strerror(int(number[1])))
    if "PytorchStreamWriter" in str(error) or "unexpected pos" in str(error):
        full = shutil.disk_usage(folder).free < FULL_BYTES  # torch hides what the disk said
        kind = errno.ENOSPC if full else errno.EIO
        return OSError(kind, os.strerror(kind))
    return None


def read(folder: Path) -> Manifest | None:
    """The manifest; None when there is none or it can't be read."""
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError):
        return None


def damage(folder: Path) -> str | None:
    """What is wrong with a folder, read in full; None when every file is as it was written."""
    manifest = read(folder)
    if manifest is None:
        return "it has no manifest that can be read"
    for name, record in manifest.files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != record.bytes:
            return f"{name} has {path.stat().st_size:,} bytes instead of {record.bytes:,}"
        if _sha256(path) != record.sha256:
            return f"{name} was changed after it was written"
    return None


def newest_whole(run: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint whose files hold; and a sentence for each newer one passed by."""
    passed = []
    for folder in reversed(step_folders(run)):
        if not is_complete(folder):
            continue
        reason = damage(folder)
        if reason is None:
            return folder, passed
        passed.append(f'The checkpoint "{folder.name}" is damaged: {reason}.')
    return None, passed


def remove_leftovers(run: Path) -> list[str]:
    """Deletes what a crash left half written; returns the names of the folders."""
    removed = []
    for folder in [*step_folders(run), run / "adapter", run / "model", run / "base"]:
        if folder.is_dir() and not is_complete(folder):
            shutil.rmtree(folder)
            removed.append(folder.name)
    for path in run.glob(".*.json.*"):  # of write_atomic, killed before its rename
        if time.time() - path.stat().st_mtime > STALE_S:
            path.unlink(missing_ok=True)
    return removed


def prune(run: Path, keep: int, best_step: int | None) -> list[str]:
    """Deletes the oldest complete checkpoints beyond `keep`; never the newest, never the best."""
    folders = [path for path in step_folders(run) if is_complete(path)]
    removed = []
    for folder in folders[: max(0, len(folders) - keep)]:
        if step_of(folder) == best_step:
            continue
        (folder / MANIFEST).unlink()  # first: a folder that is half deleted must not count
        shutil.rmtree(folder)
        removed.append(folder.name)
    return removed


def discard_after(run: Path, step: int) -> int | None:
    """Deletes the checkpoints after a step, which a divergence put in doubt.

    The step of the newest that is left; None when none is.
    """
    kept = None
    for folder in step_folders(run):
        if step_of(folder) <= step:
            kept = step_of(folder) if is_complete(folder) else kept
            continue
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder)
    return kept


def _describe(folder: Path, step: int, progress: dict[str, Any]) -> Manifest:
    """Syncs every file and hashes it, read once, from the page cache; then syncs the folders."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    with ThreadPoolExecutor(HASHING) as pool:
        records = list(pool.map(_record, paths))
    for inner in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        sync_folder(inner)
    names = (str(path.relative_to(folder)) for path in paths)
    files = dict(zip(names, records, strict=True))
    return Manifest(step, files, progress, created=round(time.time(), 3))


def _record(path: Path) -> FileRecord:
    digest = _sha256(path)
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return FileRecord(path.stat().st_size, digest)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
