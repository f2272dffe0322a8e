"""The base model that adapters share: `onnx/BASE-multi-int4/`, with `adapters/` in it.

It belongs to the base and the type, not to a run: the first run builds it, each later one only
adds its adapter. It is built beside its place and renamed when it is whole, and never written
again; afina.json in it says which base it is and where its layers take an adapter. Several jobs
meet here: what is unfinished belongs to who holds the lock, and no job's cleaning knows its name.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from core.errors import AfinaError
from core.hub import model_folder
from core.model_files.onnx import ABOUT, ADAPTER, ADAPTERS, BUILDING, About, about
from core.paths import make_folder, sync_folder, write_atomic
from core.runs.run import slug
from core.runs.target import Target, adapter_name
from exporters.onnx.adapters import write_adapter
from exporters.onnx.lora_inputs import Shapes, open_for_adapters
from exporters.results import PART
from exporters.weights.adapter import Adapter

PREFIX = "multi-"  # of the types whose adapter stays apart
WAIT_S = 0.2

Build = Callable[[Path], None]  # makes a whole ONNX folder of the base, which isn't there yet


def adapter_path(target: Target, type_name: str, exports: Path) -> Path:
    """The place of a target's adapter; its base is the folder above `adapters`.

    `exports` is where the target's own exports lie.
    """
    folder = _exports_of_all(target, exports) / "onnx" / f"{_base_name(target)}-{type_name}"
    there = about(folder)
    files = base_files(target)
    if there is not None and there.base_files != files:  # another model of the same name
        digest = hashlib.sha256(msgspec.json.encode(sorted(files.items()))).hexdigest()
        folder = folder.with_name(f"{folder.name}-{digest[:4]}")
    return folder / ADAPTERS / f"{_adapter_name(target)}{ADAPTER}"


def base_of(adapter: Path) -> Path:
    """The folder of the base of an adapter at its place."""
    return adapter.parent.parent


def base_files(target: Target) -> dict[str, str]:
    """What tells one base from another: its files, the weights by samples."""
    from core.train.checkpoint.provenance import fingerprints

    return fingerprints(model_folder(target.model, target.revision))


def ensure_base(
    folder: Path,
    target: Target,
    type_name: str,
    build: Build,
    shapes: Shapes,
    check: Callable[[], None],
) -> About:
    """What afina.json says of the base in `folder`, which is built first if it isn't there.

    shapes: of the base model's tensors. check: raises to end the wait for another export that
    builds the same. Raises AfinaError.
    """
    make_folder(folder.parent)
    files = base_files(target)
    with _sole_builder(folder, check):
        there = about(folder)
        if there is not None:
            _refuse_other(folder, there, files)
            return there
        _refuse_occupied(folder)
        part = folder.with_name(f"{folder.name}{BUILDING}")
        shutil.rmtree(part, ignore_errors=True)  # of a build that ended early
        try:
            build(part)
            made = About(
                type=type_name,
                base=target.model,
                base_files=files,
                sites=tuple(open_for_adapters(part, shapes)),
            )
            (part / ADAPTERS).mkdir()
            write_atomic(part / ABOUT, msgspec.json.format(msgspec.json.encode(made)))
            check()
            _publish(part, folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            for empty in (folder / ADAPTERS, folder):  # made for the adapter that doesn't come
                with suppress(OSError):
                    empty.rmdir()
            raise
        return made


def template_path(adapter: Path) -> Path:
    """Where the template of an adapter lies that has one of its own; `adapter` may be unfinished"""
    return adapter.with_name(adapter.name.removesuffix(PART)).with_suffix(".jinja")


def add_adapter(adapter: Adapter, there: About, path: Path, template: str | None) -> None:
    """Writes an adapter to its unfinished `path`, and beside it, under its final name, the template
    that it was trained with, where that isn't the base's own.
    """
    make_folder(path.parent)
    write_adapter(adapter, there, path)
    if template is not None:
        write_atomic(template_path(path), template)


def _refuse_other(folder: Path, there: About, files: dict[str, str]) -> None:
    """Raises AfinaError where another base took the place since it was planned."""
    if there.base_files != files:
        raise AfinaError(
            f'"{folder}" holds another base model since this export was planned: "{there.base}".',
            "Export again: the base gets a folder of its own then.",
        )


def _refuse_occupied(folder: Path) -> None:
    """Raises AfinaError where a base is to lie and something else does: nobody's to delete."""
    there = folder.iterdir() if folder.is_dir() else ()
    other = next((path for path in there if path.name != ADAPTERS), None)
    if other is not None:
        raise AfinaError(
            f'"{folder}" is the place of a base that adapters share, and holds "{other.name}".',
            "Move or delete that first.",
        )


def _publish(part: Path, folder: Path) -> None:
    """Gives a whole base its name. A folder without afina.json is none: only adapters are kept."""
    _sync_files(part)
    if folder.is_dir():
        for kept in (folder / ADAPTERS).glob("*"):
            os.rename(kept, part / ADAPTERS / kept.name)
        with suppress(FileNotFoundError):
            (folder / ADAPTERS).rmdir()
        folder.rmdir()
    os.rename(part, folder)
    sync_folder(folder.parent)


def _sync_files(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
    sync_folder(folder)


@contextmanager
def _sole_builder(folder: Path, check: Callable[[], None]) -> Iterator[None]:
    """Holds the folder's lock; waits while another export builds the same base."""
    with open(folder.with_name(f".{folder.name}.lock"), "w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                check()
                time.sleep(WAIT_S)
        yield


def _exports_of_all(target: Target, exports: Path) -> Path:
    """The exports' folder of the base, which all runs of a home share.

    A run's own exports lie in its directory, others under `exports` of the home; a folder that a
    person chose is shared by what goes there.
    """
    if target.run is not None and exports.is_relative_to(target.run):
        return Path(target.run).parent.parent / "exports" / _base_name(target)
    if exports.parent.name == "exports":
        return exports.parent / _base_name(target)
    return exports


def _base_name(target: Target) -> str:
    return slug(Path(target.model).name)


def _adapter_name(target: Target) -> str:
    """Unique among the adapters of a home."""
    assert target.adapter is not None
    if target.run is not None:
        _, _, point = target.label.partition(" @ ")
        return Path(target.run).name + (f"-{slug(point)}" if point else "")
    digest = hashlib.sha256(target.adapter.encode()).hexdigest()
    return f"{slug(adapter_name(target.adapter))}-{digest[:4]}"
