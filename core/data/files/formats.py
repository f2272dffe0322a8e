"""Which files can be data, told from their names and their kind; nothing is read here."""

from __future__ import annotations

import os
import stat
from io import FileIO
from pathlib import Path

import msgspec

from core.errors import AfinaError

TEXTS = {  # ending: how its rows lie; "" is found out from the content
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".json": "",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "paragraphs",
    ".md": "document",
}
TABLES = {".parquet": "parquet", ".arrow": "arrow"}
COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
READABLE = (
    ".jsonl, .ndjson, .json, .csv, .tsv, .parquet, .arrow, .txt and .md, "
    "those of text also as .gz and .zst"
)


class Ending(msgspec.Struct, frozen=True):
    """What a file's name says about it."""

    suffix: str  # ".jsonl", without the compression's
    layout: str
    compression: str = ""  # "gzip", "zstd" or none

    @property
    def is_table(self) -> bool:
        return self.suffix in TABLES


def ending_of(path: Path) -> Ending | None:
    """What the name of a data file says; None for a name that no data file has."""
    suffix, compression = path.suffix.lower(), ""
    if suffix in COMPRESSED:
        compression, suffix = COMPRESSED[suffix], Path(path.stem).suffix.lower()
    elif suffix in TABLES:
        return Ending(suffix, TABLES[suffix])
    return Ending(suffix, TEXTS[suffix], compression) if suffix in TEXTS else None


def require_ending(path: Path) -> Ending:
    """What the name of a data file says; raises AfinaError for any other."""
    ending = ending_of(path)
    if ending is None:
        suffix = "".join(path.suffixes[-2:]) if path.suffix in COMPRESSED else path.suffix
        what = f'"{suffix}" files' if suffix else "a file without an ending"
        raise AfinaError(f'Can\'t read {what}: "{path}".', f"Supported are {READABLE}.")
    return ending


def require_file(path: Path) -> os.stat_result:
    """The status of a regular file; one sentence as AfinaError for everything else."""
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable(path, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise AfinaError(
            f'"{path}" is not a regular file (a pipe, a socket or a device).',
            "Save its content to a file first.",
        )
    return status


def open_file(path: Path) -> FileIO:
    """A regular file opened for reading without a buffer; raises AfinaError."""
    require_file(path)
    try:
        return open(path, "rb", buffering=0)
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> AfinaError:
    """The sentence for a path that the system doesn't open."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return AfinaError(f'There is no file "{path}".', "Check the path.")
    return AfinaError(f'Can\'t read "{path}": {error.strerror}.', "Check the path.")
