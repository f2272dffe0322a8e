"""Probes that were made, kept in <home>/probes by what their figures depend on. Loads no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from glob import glob, has_magic
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from core.config import Config, config_io
from core.hardware import Device
from core.hub import model_folder
from core.paths import make_folder, write_atomic
from core.plan.probe_result import Probe

# What neither the memory nor the speed of a step depends on
APART = {
    "name", "checkpoint", "eval", "launch.device", "method.alpha", "method.alpha_pattern",
    "train.beta", "train.learning_rate", "train.lr_scheduler_type", "train.warmup_ratio",
    "train.decay_ratio", "train.weight_decay", "train.max_grad_norm", "train.on_divergence",
    "train.spike_factor",
}  # fmt: skip
LENGTH = {"train.num_train_epochs", "train.max_steps"}  # they decide whether auto packs
PACKAGES = ("torch", "transformers", "peft", "trl")
MOST_FILES = 1000  # of a folder of data, that are looked at
KEPT = 100  # probes; the oldest go


def read(home: Path, config: Config, device: Device) -> Probe | None:
    """The probe of a configuration with this model, data and device; None where there is none."""
    try:
        return msgspec.json.decode(_path(home, config, device).read_bytes(), type=Probe)
    except (OSError, msgspec.DecodeError):
        return None


def keep(home: Path, config: Config, device: Device, probe: Probe) -> None:
    """Keeps a probe; where the home can't be written, it is only shown."""
    path = _path(home, config, device)
    with suppress(OSError):
        make_folder(path.parent)
        write_atomic(path, msgspec.json.format(msgspec.json.encode(probe)))
        files = sorted(path.parent.glob("*.json"), key=lambda file: file.stat().st_mtime)
        for old in files[:-KEPT]:
            old.unlink(missing_ok=True)


def _path(home: Path, config: Config, device: Device) -> Path:
    said = repr(
        (
            sorted(_options(config)),
            sorted(_model_files(config)),
            sorted(_data_files(config)),
            (device.kind, device.name, device.memory_bytes),
            _versions(),
        )
    )
    return home / "probes" / f"{hashlib.sha256(said.encode()).hexdigest()[:24]}.json"


def _options(config: Config) -> Iterator[tuple[str, str]]:
    flat: dict[str, Any] = {}
    for group, values in config_io.to_values(config).items():
        inner = values if isinstance(values, dict) else {"": values}
        flat |= {f"{group}.{name}".rstrip("."): value for name, value in inner.items()}
    for name, value in flat.items():
        apart = name in APART or name.partition(".")[0] in APART
        if not apart and (name not in LENGTH or config.train.packing == "auto"):
            yield name, repr(value)


def _model_files(config: Config) -> Iterator[tuple[str, int, int]]:
    folder = model_folder(config.model.name_or_path, config.model.revision)
    for pattern in ("config.json", "tokenizer*", "*.safetensors", "*.jinja"):
        for path in folder.glob(pattern):
            yield from _file(path)


def _data_files(config: Config) -> Iterator[tuple[str, int, int]]:
    data = config.data
    for word in (data.path, data.eval_path, data.chat_template, *data.mix):
        if not word:
            continue
        path = Path(word).expanduser()
        if path.is_dir():
            inner = (file for file in sorted(path.rglob("*"))[:MOST_FILES] if file.is_file())
        else:
            names = glob(str(path), recursive=True) if has_magic(word) else [path]
            inner = (Path(name) for name in names)
        for file in inner:
            yield from _file(file)


def _file(path: Path) -> Iterator[tuple[str, int, int]]:
    with suppress(OSError):
        stat = path.stat()
        yield str(path.resolve()), stat.st_size, stat.st_mtime_ns


@lru_cache
def _versions() -> tuple[str, ...]:
    found = []
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return tuple(found)
