"""Which files a name means: one, a folder of them, a pattern, or a folder saved by datasets."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import msgspec

from core.data.files.formats import READABLE, ending_of, unreadable
from core.errors import AfinaError

# Files that lie beside data and say something about it.
_BESIDE = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
_PROSE = (".txt", ".md")  # a README beside tables is no row of them


class Gathered(msgspec.Struct, frozen=True):
    """The files behind a name, in natural order, and what was left aside with its reason."""

    files: list[Path]
    skipped: list[tuple[Path, str]]


def is_pattern(name: str) -> bool:
    """Whether a name is a pattern such as "data/*.jsonl" rather than a path."""
    return any(character in name for character in "*?[") and not Path(name).exists()


def natural_key(path: Path) -> list[tuple[int, str]]:
    """Sorts part-2 before part-10."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if number % 2 else (-1, part) for number, part in enumerate(parts)]


def gather(path: Path) -> Gathered:
    """The data files in a folder, saved by datasets or not; raises AfinaError without any."""
    if (path / "dataset_dict.json").is_file():
        return _saved_splits(path)
    if (path / "state.json").is_file() and any(path.glob("*.arrow")):
        return _saved(path)
    try:
        entries = sorted(path.iterdir(), key=natural_key)
    except OSError as error:
        raise unreadable(path, error) from error
    found = sift(entries, named=False)
    if not found.files:
        folders = [entry.name for entry in entries if entry.is_dir()]
        within = (
            f' Its folders: {", ".join(folders[:5])}; "{path}/**/*" takes all.' if folders else ""
        )
        raise AfinaError(
            f'There is no data file in the folder "{path}".', f"Readable are {READABLE}.{within}"
        )
    return found


def gather_pattern(pattern: str) -> Gathered:
    """The data files that a pattern matches; "**" goes into folders, not through links."""
    path = Path(pattern)
    root, rest = Path(path.anchor or "."), str(path.relative_to(path.anchor))
    try:
        matches = sorted((match for match in root.glob(rest)), key=natural_key)
    except (OSError, ValueError) as error:
        raise AfinaError(f'"{pattern}" is not a pattern of paths: {error}.') from error
    found = sift([match for match in matches if not match.is_dir()], named="**" not in pattern)
    if not found.files:
        raise AfinaError(f'No data file matches "{pattern}".', f"Readable are {READABLE}.")
    return found


def sift(entries: list[Path], named: bool) -> Gathered:
    """Parts data files from what lies beside them; `named` keeps text beside tables."""
    files: list[Path] = []
    skipped: list[tuple[Path, str]] = []
    seen: dict[tuple[int, int], Path] = {}
    for path in entries:
        reason = _reason_to_skip(path)
        if not reason:
            status = path.stat()
            first = seen.setdefault((status.st_dev, status.st_ino), path)
            reason = f"the same file as {first.name}" if first is not path else ""
        if reason:
            skipped.append((path, reason))
        else:
            files.append(path)
    prose = [path for path in files if _is_prose(path)]
    if not named and len(prose) < len(files):
        skipped += [(path, "text beside tables") for path in prose]
        files = [path for path in files if path not in set(prose)]
    return Gathered(files, skipped)


def _reason_to_skip(path: Path) -> str:
    if path.name.startswith("."):
        return "hidden"
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return "a link in a circle" if path.is_symlink() and _circles(path) else _why(error)
    if stat.S_ISDIR(mode):
        return "a folder"
    if not stat.S_ISREG(mode):
        return "not a regular file"
    if path.name in _BESIDE:
        return "a description of data"
    return "" if ending_of(path) else "not a data file by its ending"


def _circles(path: Path) -> bool:
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _why(error: OSError) -> str:
    return (
        "a link to nothing" if isinstance(error, FileNotFoundError) else str(error.strerror).lower()
    )


def _is_prose(path: Path) -> bool:
    ending = ending_of(path)
    return ending is not None and ending.suffix in _PROSE


def _saved_splits(path: Path) -> Gathered:
    """A DatasetDict on disk: its split "train", or its only one."""
    try:
        splits = list(msgspec.json.decode((path / "dataset_dict.json").read_bytes())["splits"])
    except (OSError, msgspec.MsgspecError, KeyError, TypeError) as error:
        raise AfinaError(f'"{path}/dataset_dict.json" doesn\'t name the splits.') from error
    chosen = "train" if "train" in splits else splits[0] if len(splits) == 1 else ""
    if not chosen:
        names = ", ".join(map(str, splits))
        raise AfinaError(
            f'The folder "{path}" holds the splits {names}, and no "train".',
            f'Name one: "{path}/{splits[0]}".' if splits else "",
        )
    found = _saved(path / chosen)
    others = [(path / name, f'another split; name "{path / name}"') for name in splits]
    return Gathered(found.files, [item for item in others if item[0] != path / chosen])


def _saved(path: Path) -> Gathered:
    """The Arrow files that a saved dataset lists, in its order."""
    try:
        state = msgspec.json.decode((path / "state.json").read_bytes())
        names = [str(entry["filename"]) for entry in state["_data_files"]]
        rearranged = state.get("_indices_data_files")
    except (OSError, msgspec.MsgspecError, KeyError, TypeError, AttributeError) as error:
        raise AfinaError(f'"{path}/state.json" doesn\'t name the data files.') from error
    if rearranged:
        raise AfinaError(
            f'The dataset in "{path}" was saved with its rows rearranged by an index.',
            "Save it again after flatten_indices().",
        )
    missing = [name for name in names if not (path / name).is_file()]
    if missing:
        raise AfinaError(f'The dataset in "{path}" lacks its file "{missing[0]}".')
    return Gathered([path / name for name in names], [])
