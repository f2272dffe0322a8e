"""Where exports lie and which of them count: parity.json and manifest.json beside them.

Both are replaced as a whole, the manifest last: a file that it doesn't list, or that has another
size since, is not a result. Light: the screens read it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from core.paths import write_atomic
from core.runs import slug
from core.targets import Target

PARITY, MANIFEST = "parity.json", "manifest.json"
PASS, WARN, FAIL = "pass", "warn", "fail"
T = TypeVar("T", "Manifest", "Parity")
BLOCK = 8 * 2**20  # bytes that are hashed at once


class Check(msgspec.Struct):
    """One thing that was looked at."""

    name: str
    verdict: str  # "pass", "warn" or "fail"
    message: str  # what was found, a sentence
    hint: str = ""  # what to do, for a warning or a failure


class Result(msgspec.Struct):
    """An exported file and how it stands beside the tuned model: a row of the parity table."""

    path: str  # absolute; in parity.json from the exports' folder on
    kind: str  # "gguf"
    type: str
    bytes: int
    verdict: str
    prompts_equal: bool | None = None  # None: the file could not be measured
    stops_equal: bool | None = None
    agreement: float | None = None  # mean share of the greedy answers that is the same
    identical: float | None = None  # share of greedy answers that are the same to the end
    parted: int | None = None  # answers that go another way where the tuned model was sure
    kl: float | None = None  # nats a token
    max_delta_log_p: float | None = None
    tuning_kl: float | None = None  # of the untuned model; how far the tuning went
    prompts: int = 0
    snippets: int = 0
    snippets_equal: int = 0
    tokens: int = 0  # that were compared
    tokens_per_s: float | None = None  # on this CPU
    threads: int = 0
    checks: list[Check] = []


class Origin(msgspec.Struct):
    """What a file was made of."""

    target: str  # as the person wrote it
    model: str
    run: str | None = None
    adapter: str | None = None
    adapter_sha256: str | None = None


class Entry(msgspec.Struct):
    """A file that counts."""

    kind: str
    type: str
    bytes: int
    sha256: str
    origin: Origin
    written: float  # seconds since the epoch


class Manifest(msgspec.Struct):
    files: dict[str, Entry] = {}  # by path from the exports' folder on
    v: int = 1


class Parity(msgspec.Struct):
    results: list[Result] = []
    v: int = 1


def exports_folder(home: Path, target: Target) -> Path:
    """Where the exports of a target go: beside its run, else under the home by the model's name.

    Another point of a run than its result ("travel @ 200") has a folder of its own there.
    """
    if target.run is not None:
        _, _, point = target.label.partition(" @ ")
        return Path(target.run) / "exports" / (slug(point) if point else "")
    folder = home / "exports" / slug(target.label)
    there = read_manifest(folder).files.values()
    if all((e.origin.model, e.origin.adapter) == (target.model, target.adapter) for e in there):
        return folder
    digest = hashlib.sha256(f"{target.model}\n{target.adapter}".encode()).hexdigest()
    return folder.with_name(f"{folder.name}-{digest[:4]}")  # another model of the same name


def file_path(folder: Path, target: Target, kind: str, type_name: str) -> Path:
    """The final place of one export."""
    return folder / kind / f"{slug(target.label)}-{type_name}.{kind}"


def failed_path(final: Path) -> Path:
    """Where an export goes that fails its check, so that it never replaces one that passed."""
    return final.with_suffix(f".failed{final.suffix}")


def results(folder: Path) -> list[Result]:
    """The results in a folder that count, with absolute paths, in the order they were made."""
    files = read_manifest(folder).files
    found = []
    for result in _read(folder / PARITY, Parity).results:
        entry, path = files.get(result.path), folder / result.path
        if entry and path.is_file() and path.stat().st_size == entry.bytes:
            found.append(msgspec.structs.replace(result, path=str(path)))
    return found


def read_manifest(folder: Path) -> Manifest:
    return _read(folder / MANIFEST, Manifest)


def record(folder: Path, result: Result, sha256: str, origin: Origin) -> None:
    """Adds a result, in place of an older one of the same path; the manifest comes last."""
    place = str(Path(result.path).relative_to(folder))
    parity, manifest = _read(folder / PARITY, Parity), read_manifest(folder)
    parity.results = [r for r in parity.results if r.path != place and (folder / r.path).is_file()]
    parity.results.append(msgspec.structs.replace(result, path=place))
    manifest.files = {p: e for p, e in manifest.files.items() if (folder / p).is_file()}
    manifest.files[place] = Entry(
        result.kind, result.type, result.bytes, sha256, origin, round(time.time(), 3)
    )
    for name, content in ((PARITY, parity), (MANIFEST, manifest)):
        write_atomic(folder / name, msgspec.json.format(msgspec.json.encode(content)))


def forget(folder: Path, path: Path) -> None:
    """Takes a file out of the manifest before it is replaced, so that no half result counts."""
    manifest = read_manifest(folder)
    if manifest.files.pop(str(path.relative_to(folder)), None) is not None:
        write_atomic(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))


def sha256_of(path: Path, on_block: Callable[[int], None] = lambda done: None) -> str:
    """The hash of a file; `on_block` gets the bytes behind us and may raise."""
    digest, done = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            done += len(block)
            on_block(done)
    return digest.hexdigest()


def result_fields(found: list[Result]) -> dict[str, Any]:
    """The shape of `afina export --json` and of the result event."""
    return {
        "files": [
            {"path": r.path, "kind": r.kind, "type": r.type, "bytes": r.bytes} for r in found
        ],
        "parity": [msgspec.to_builtins(result) for result in found],
    }


def _read(path: Path, kind: type[T]) -> T:
    """A file of ours, empty where there is none or it can't be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return kind()
