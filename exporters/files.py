"""Giving a checked export its name, so that a crash at any moment leaves the old one or the new.

Unfinished exports end in .part. Before one takes its final name, publishing.json says what it is;
afterwards the manifest lists it and publishing.json goes. A folder can't replace another in one
step: the old one stands aside, ending in .old, until the new one has its name. `mend` repairs what
a killed export left, and every reader of the results knows what publishing.json means.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from core.paths import make_folder, sync_folder, write_atomic
from core.runs.target import ONNX_ADAPTER
from exporters.contract import EXPORTERS
from exporters.results import (
    MANIFEST,
    PARITY,
    PART,
    PUBLISHING,
    Entry,
    Publishing,
    Result,
    enter,
    failed_path,
    files_of,
    forget,
    part,
    place_of,
    published,
    read_publishing,
)

ASIDE = ".old"
BESIDE = {  # what lies beside an export, by its ending
    ".gguf": ".Modelfile",  # exporters/sidecars/modelfile.py
    ONNX_ADAPTER: ".jinja",  # exporters/onnx/shared_graph.py
}
PLACES = ("", *(f"{kind}/" for kind in EXPORTERS))  # not those of other points of the run
UNFINISHED = tuple(f"{place}*{PART}{more}" for place in PLACES for more in ("", ".*"))
BLOCK = 8 * 2**20  # bytes that are hashed at once


def publish(folder: Path, result: Result, entry: Entry) -> None:
    """Names the finished export at `part(result.path)`, in place of an earlier one of its path."""
    final = Path(result.path)
    row = msgspec.structs.replace(result, path=place_of(folder, final))
    begun = Publishing(row, entry)
    write_atomic(folder / PUBLISHING, msgspec.json.encode(begun))
    if final.is_dir():
        os.rename(final, _aside(final))
    os.replace(part(final), final)
    sync_folder(final.parent)
    _complete(folder, begun)
    if final != failed_path(final):
        discard(folder, failed_path(final))


def discard(folder: Path, path: Path) -> None:
    """Deletes an export with its result and what lies beside it, if it is there."""
    forget(folder, path)
    delete(path)
    if path.suffix in BESIDE:
        path.with_suffix(BESIDE[path.suffix]).unlink(missing_ok=True)


def mend(folder: Path, elsewhere: Collection[Path] = ()) -> None:
    """Ends what an export began that is no more: takes back or completes a replacement, and deletes
    everything under an unfinished name. `elsewhere` are exports that don't lie in the folder.
    """
    begun = read_publishing(folder)
    if begun is not None and not published(folder, begun):
        (folder / PUBLISHING).unlink()  # before its .part goes: without one it counts as named
        begun = None
    for aside in _asides(folder):
        final = aside.with_name(aside.name.removesuffix(ASIDE))
        if not final.exists():
            os.rename(aside, final)
    here = [path for like in UNFINISHED for path in folder.glob(like)]
    for name in (PARITY, MANIFEST, PUBLISHING):
        here += folder.glob(f".{name}.*")  # what write_atomic was at
    for unfinished in [*here, *map(part, elsewhere)]:
        delete(unfinished)
    if begun is not None:
        _complete(folder, begun)
    for aside in _asides(folder):
        delete(aside)
    places = [place for final in elsewhere for place in (final.parent, final.parent.parent)]
    for place in [*(folder / kind for kind in EXPORTERS), *places]:
        with suppress(OSError):  # it is not there, or holds something
            place.rmdir()


def start_part(path: Path) -> Path:
    """The unfinished name of an export, free, in a folder that is there."""
    make_folder(path.parent)
    delete(part(path))
    return part(path)


def sha256_of(path: Path, on_block: Callable[[int], None] = lambda done: None) -> str:
    """The hash of a file, or of a folder: that of its sorted lines "name sha256".

    `on_block` gets the bytes behind us and may raise. What was hashed has reached the disk.
    """
    before, lines = 0, []
    if not path.is_dir():
        return _hash_file(path, on_block)
    for file in files_of(path):
        done = before
        digest = _hash_file(file, lambda more, done=done: on_block(done + more))
        lines.append(f"{file.relative_to(path).as_posix()} {digest}\n")
        before += file.stat().st_size
    for place in {path, *(file.parent for file in files_of(path))}:
        sync_folder(place)
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def _hash_file(path: Path, on_block: Callable[[int], None]) -> str:
    digest, done = hashlib.sha256(), 0
    with open(path, "rb") as file:
        for block in _blocks(file):
            digest.update(block)
            done += len(block)
            on_block(done)
        os.fsync(file.fileno())
    return digest.hexdigest()


def _blocks(file) -> Iterator[bytes]:  # noqa: ANN001 - a binary file
    while block := file.read(BLOCK):
        yield block


def _complete(folder: Path, begun: Publishing) -> None:
    """Lists what has its name."""
    enter(folder, begun.result, begun.entry)
    (folder / PUBLISHING).unlink()
    delete(_aside(folder / begun.result.path))


def _aside(path: Path) -> Path:
    return path.with_name(path.name + ASIDE)


def _asides(folder: Path) -> list[Path]:
    return [path for kind in EXPORTERS for path in folder.glob(f"{kind}/*{ASIDE}")]


def delete(path: Path) -> None:
    """Deletes a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
