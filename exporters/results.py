"""Where exports lie and which of them count: parity.json and manifest.json beside them.

Both are replaced as a whole, the manifest last: an export that it doesn't list, or that has another
size since, is not a result. Between its naming and its listing, publishing.json speaks for an
export (publish.py). Light: the screens read it.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from core.paths import write_atomic
from core.runs.run import slug
from core.runs.target import ONNX_ADAPTER, Target

PARITY, MANIFEST, PUBLISHING = "parity.json", "manifest.json", "publishing.json"
PASS, WARN, FAIL = "pass", "warn", "fail"
PART, FAILED = ".part", ".failed"
FILES = {"gguf": ".gguf"}  # kinds whose exports are one file, and how it ends; others are folders
ENDINGS = (*FILES.values(), ONNX_ADAPTER)
T = TypeVar("T", "Manifest", "Parity")


class Check(msgspec.Struct):
    """One thing that was looked at."""

    name: str
    verdict: str  # "pass", "warn" or "fail"
    message: str  # what was found, a sentence
    hint: str = ""  # what to do, for a warning or a failure


class Result(msgspec.Struct):
    """An export and how it stands beside the tuned model: a row of the parity table."""

    path: str  # absolute; in parity.json from the exports' folder on, if it lies in there
    kind: str  # "gguf"
    type: str
    bytes: int  # of a folder: the sum of its files
    verdict: str
    prompts_equal: bool | None = None  # None: it could not be measured
    stops_equal: bool | None = None
    agreement: float | None = None  # mean share of the greedy answers that is the same
    identical: float | None = None  # share of greedy answers that are the same to the end
    parted: int | None = None  # answers that go another way where the tuned model was sure
    common_prefix: float | None = None  # the same share in tokens
    kl: float | None = None  # nats a token of the tuned model's own answers
    max_delta_log_p: float | None = None
    row_kl: float | None = None  # nats a supervised token of the evaluation rows
    perplexity: float | None = None  # over the same tokens
    perplexity_tuned: float | None = None
    tuning_kl: float | None = None  # of the untuned model; how far the tuning went
    carried: float | None = None  # how much of that way the export goes: 1 all of it, 0 none
    prompts: int = 0
    snippets: int = 0
    snippets_equal: int = 0
    singles: int = 0  # texts of one token
    singles_equal: int = 0
    tokens: int = 0  # of answers that were compared
    rows: int = 0
    row_tokens: int = 0  # supervised ones that were compared
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
    """An export that counts."""

    kind: str
    type: str
    bytes: int
    sha256: str  # of a folder: that of its sorted lines "name sha256"
    origin: Origin
    written: float  # seconds since the epoch


class Manifest(msgspec.Struct):
    files: dict[str, Entry] = {}  # by path, as in parity.json
    v: int = 1


class Parity(msgspec.Struct):
    results: list[Result] = []
    v: int = 1


class Publishing(msgspec.Struct):
    """An export that is about to take its final name, or has just taken it."""

    result: Result
    entry: Entry


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
    """The final place of one export: a file or a folder, by its kind."""
    return folder / kind / f"{slug(target.label)}-{type_name}{FILES.get(kind, '')}"


def failed_path(final: Path) -> Path:
    """Where an export goes that fails its check, so that it never replaces one that passed."""
    ending = next((ending for ending in ENDINGS if final.name.endswith(ending)), "")
    name = final.name.removesuffix(ending)
    return final.with_name(f"{name.removesuffix(FAILED)}{FAILED}{ending}")


def place_of(folder: Path, path: Path) -> str:
    """How parity.json and the manifest call an export: `folder / place` is its path again."""
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def part(path: Path) -> Path:
    """The name of an export that is not finished or not checked yet."""
    return path.with_name(path.name + PART)


def files_of(path: Path) -> list[Path]:
    """The files of an export, in the order of their names; the path itself where it is a file."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file())


def bytes_of(path: Path) -> int | None:
    """What an export weighs; None where there is none."""
    try:
        return sum(file.stat().st_size for file in files_of(path))
    except FileNotFoundError:
        return None


def results(folder: Path) -> list[Result]:
    """The results in a folder that count, with absolute paths, in the order they were made."""
    files, rows = read_manifest(folder).files, _read(folder / PARITY, Parity).results
    begun = read_publishing(folder)
    if begun is not None and published(folder, begun):
        place = begun.result.path
        files[place] = begun.entry
        rows = [row for row in rows if row.path != place] + [begun.result]
    return [
        msgspec.structs.replace(row, path=str(folder / row.path))
        for row in rows
        if row.path in files and bytes_of(folder / row.path) == files[row.path].bytes
    ]


def read_manifest(folder: Path) -> Manifest:
    return _read(folder / MANIFEST, Manifest)


def read_publishing(folder: Path) -> Publishing | None:
    """What was about to be named, if anything is between its naming and its listing."""
    try:
        return msgspec.json.decode((folder / PUBLISHING).read_bytes(), type=Publishing)
    except (OSError, msgspec.DecodeError):
        return None


def published(folder: Path, begun: Publishing) -> bool:
    """Whether it has its final name already."""
    final = folder / begun.result.path
    return not part(final).exists() and bytes_of(final) == begun.entry.bytes


def entry_of(result: Result, sha256: str, origin: Origin) -> Entry:
    """What the manifest says of a result, written now."""
    now = round(time.time(), 3)
    return Entry(result.kind, result.type, result.bytes, sha256, origin, now)


def enter(folder: Path, row: Result, entry: Entry) -> None:
    """Adds a result whose path begins at the folder, in place of an older one of that path; the
    manifest comes last.
    """
    parity, manifest = _read(folder / PARITY, Parity), read_manifest(folder)
    parity.results = [
        r for r in parity.results if r.path != row.path and (folder / r.path).exists()
    ]
    parity.results.append(row)
    manifest.files = {p: e for p, e in manifest.files.items() if (folder / p).exists()}
    manifest.files[row.path] = entry
    for name, content in ((PARITY, parity), (MANIFEST, manifest)):
        write_atomic(folder / name, msgspec.json.format(msgspec.json.encode(content)))


def forget(folder: Path, path: Path) -> None:
    """Takes an export out of the manifest before it is deleted."""
    manifest = read_manifest(folder)
    if manifest.files.pop(place_of(folder, path), None) is not None:
        write_atomic(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))


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
