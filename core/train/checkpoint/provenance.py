"""What a run stands on: versions, device, configuration, data and base, kept in facts.json.

Loads no torch, and reads a base model's weights only here and there. resume.py compares.
"""

from __future__ import annotations

import hashlib
import os
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from core.config import Config
from core.data.encode.template import BUILT_IN
from core.data.files.cache import FileCache
from core.data.files.discover import gather, gather_pattern, is_pattern
from core.data.files.hub import is_dataset_id
from core.data.files.offsets import hash_of
from core.errors import AfinaError
from core.hardware import read_device
from core.paths import cache_folder, write_atomic

FILE = "facts.json"
PACKAGES = ("afina", "torch", "transformers", "peft", "trl", "accelerate", "tokenizers")
GONE = "gone"
SAMPLES, SAMPLE_BYTES = 64, 1 << 16  # of a file of weights
SETTINGS = ("*.json", "*.jinja", "tokenizer.model", "*.txt")


class Facts(msgspec.Struct, frozen=True):
    """Of the process that last began; fields that a newer version adds are ignored."""

    config: dict[str, Any]  # the frozen configuration
    versions: dict[str, str]
    device: str  # "cpu" or "cuda"
    device_name: str
    data: dict[str, str]  # hash of the content by the option that names it and the name
    base: str  # folder of the base model
    base_files: dict[str, str]  # a fingerprint by name
    dtype: str = ""  # of the products; recorded only
    world_size: int = 1  # processes that trained it


def look(config: Config, base: Path | None, device: str | None = None, dtype: str = "") -> Facts:
    """The facts of this moment. device: as the run chose it; by the driver without one."""
    read = read_device(device or ("cpu" if config.launch.device == "cpu" else "auto"))
    return Facts(
        config=msgspec.to_builtins(config),
        versions=versions(),
        device=read.kind,
        device_name=read.name,
        data=data_of(config),
        base=str(base) if base else "",
        base_files=fingerprints(base) if base else {},
        dtype=dtype,
    )


def read(run: Path) -> Facts | None:
    """What a run recorded; None before its first step, or when it can't be read."""
    try:
        return msgspec.json.decode((run / FILE).read_bytes(), type=Facts)
    except (OSError, msgspec.DecodeError):
        return None


def keep(run: Path, facts: Facts) -> None:
    write_atomic(run / FILE, msgspec.json.format(msgspec.json.encode(facts)))


def versions() -> dict[str, str]:
    """Those of our packages that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def fingerprints(folder: Path) -> dict[str, str]:
    """Of the settings a hash, of the weights their size and a hash of places in them."""
    found = {}
    for path in sorted({path for pattern in SETTINGS for path in folder.glob(pattern)}):
        if path.is_file():
            found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted(folder.glob("*.safetensors")):
        found[path.name] = _sampled(path)
    return found


def _sampled(path: Path) -> str:
    """Every tensor of training moves, so a few places tell one file of weights from another."""
    size, hashed = path.stat().st_size, hashlib.sha256()
    with open(path, "rb") as file:
        for place in range(0, max(1, size), max(SAMPLE_BYTES, size // SAMPLES)):
            hashed.update(os.pread(file.fileno(), SAMPLE_BYTES, place))
    return f"{size}:{hashed.hexdigest()}"


def data_of(config: Config) -> dict[str, str]:
    """The files that rows and their form come from; a dataset on the hub is left to the run.

    Not that of a custom loss: a run has its own copy of it, and says itself that the file changed.
    """
    data, template = config.data, config.data.chat_template
    named = [("data.path", data.path), ("data.eval_path", data.eval_path)]
    named += [("data.mix", name) for name in data.mix]
    if template and template not in BUILT_IN:
        named.append(("data.chat_template", template))
    store = FileCache(cache_folder())
    return {
        f'{option} "{name}"': _content(name, store)
        for option, name in named
        if name and not is_dataset_id(name)
    }


def _content(name: str, store: FileCache) -> str:
    """A hash of a file, or of all the files that a folder or a pattern names."""
    path = Path(name).expanduser()
    try:
        if is_pattern(name):
            files = gather_pattern(name).files
        elif path.is_dir():
            files = gather(path).files
        else:
            return hash_of(path, store)
        parts = (f"{file.name} {hash_of(file, store)}" for file in files)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()
    except (OSError, AfinaError):
        return GONE
