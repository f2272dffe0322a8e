"""What has changed since a run last began, and whether it would still mean the same.

Told before it goes on, by the commands, the screen and the worker itself. Loads no torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from core.config import Config
from core.errors import AfinaError
from core.hub import is_hub_id
from core.paths import write_atomic
from core.runs.run import Run
from core.train.checkpoint import provenance
from core.train.checkpoint.provenance import GONE, Facts

FORCE = "resume.json"
# options that decide how a run is watched and kept, not what it learns
WATCHING = ("name", "checkpoint", "eval", "launch", "train.on_divergence", "train.spike_factor")
DECIDING = ("torch", "transformers", "peft", "trl")  # packages whose next major version may differ
SHORT = 12  # characters of a hash


class Difference(msgspec.Struct, frozen=True):
    """One thing that is not as it was; the shape of `afina resume RUN --check --json`."""

    what: str
    before: str
    now: str
    meaning: bool  # whether the run would become another one

    def __str__(self) -> str:
        return f"{self.what} was {self.before} and is {self.now}"


def differences(run: Run, base: Path | None = None) -> list[Difference]:
    """What changed since the run last began; nothing for one that never came to its first step.

    base: the folder of the base model where it is known; else the one that was used.
    """
    before = provenance.read(run.directory)
    if before is None or not run.checkpoints():
        return []
    config = run.config
    folder = base or Path(before.base)
    now = provenance.look(config, folder if folder.is_dir() else None)
    return [
        *_of_config(before.config, now.config),
        *_of_data(before.data, now.data),
        *_of_base(before, now, config),
        *_of_versions(before.versions, now.versions),
        *_of_device(before, now),
    ]


def refusal(run: Run, found: list[Difference]) -> AfinaError | None:
    """Why a run is not resumed as things are; None when it means the same."""
    meaning = [difference for difference in found if difference.meaning]
    if not meaning:
        return None
    return AfinaError(
        f'"{run.id}" would not go on as it began: {"; ".join(map(str, meaning))}.',
        f"Put it back as it was, or go on all the same: afina resume {run.id} --force.",
    )


def force(run: Run) -> None:
    """Lets the next start of a run go on whatever has changed."""
    write_atomic(run.directory / FORCE, msgspec.json.encode({"force": True}))


def is_forced(run: Run) -> bool:
    """Whether this start is to go on whatever has changed."""
    try:
        return msgspec.json.decode((run.directory / FORCE).read_bytes()).get("force") is True
    except (OSError, msgspec.DecodeError, AttributeError):
        return False


def spend_force(run: Run) -> None:
    """It counts for one start: from here on the run stands on what it found."""
    (run.directory / FORCE).unlink(missing_ok=True)


def _of_config(before: dict[str, Any], now: dict[str, Any]) -> Iterator[Difference]:
    """Option by option; one that an older or newer version didn't know has its default."""
    usual = _flat(msgspec.to_builtins(Config()))
    old, new = (usual | _flat(values) for values in (before, now))
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) == new.get(name):
            continue
        meaning = not any(name == option or name.startswith(f"{option}.") for option in WATCHING)
        yield Difference(name, _word(old.get(name)), _word(new.get(name)), meaning)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict) and not prefix:
            flat |= _flat(value, f"{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _of_data(before: dict[str, str], now: dict[str, str]) -> Iterator[Difference]:
    for name, content in now.items():
        old = before.get(name, content)  # another name is a difference of the configuration
        if old != content:
            yield Difference(name, _short(old), _short(content), True)


def _of_base(before: Facts, now: Facts, config: Config) -> Iterator[Difference]:
    what = f'model "{config.model.name_or_path}"'
    if not now.base_files:
        if not is_hub_id(config.model.name_or_path):  # else it is fetched again
            yield Difference(what, f'in "{before.base}"', GONE, True)
        return
    for name in sorted(before.base_files.keys() | now.base_files.keys()):
        old, new = (each.base_files.get(name, GONE) for each in (before, now))
        if old != new:
            yield Difference(f"{what}, {name},", _short(old), _short(new), True)


def _of_versions(before: dict[str, str], now: dict[str, str]) -> Iterator[Difference]:
    """Of packages that compute, the next major version means another run; of ours, also a minor.

    Within a major version losses may differ in their last digits, which is told.
    """
    for name, old in before.items():
        new = now.get(name, GONE)
        if old == new:
            continue
        parts = 2 if name == "afina" else 1
        same = old.split(".")[:parts] == new.split(".")[:parts]
        yield Difference(name, old, new, not same and name in ("afina", *DECIDING))


def _of_device(before: Facts, now: Facts) -> Iterator[Difference]:
    if (before.device, before.device_name) != (now.device, now.device_name):
        old, new = (f"{each.device} ({each.device_name})" for each in (before, now))
        yield Difference("the device", old, new, False)
    if before.world_size != now.world_size:
        yield Difference(
            "the number of processes", f"{before.world_size}", f"{now.world_size}", True
        )


def _short(content: str) -> str:
    """The beginning of a hash, whatever size stands before it."""
    return content if content == GONE else content.rpartition(":")[2][:SHORT]


def _word(value: Any) -> str:
    return "null" if value is None else str(value)
