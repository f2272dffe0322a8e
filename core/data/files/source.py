"""Opens what a person names as data: one file or many, as rows by number.

What a row means is for core.data.shapes.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from core.data.files.arrow import ArrowSource
from core.data.files.cache import FileCache
from core.data.files.compressed import CompressedSource
from core.data.files.concatenated import JoinedSource, Listing, Member
from core.data.files.discover import Gathered, gather, gather_pattern, is_pattern
from core.data.files.formats import require_ending, require_file
from core.data.files.hub import HubSource, is_dataset_id
from core.data.files.offsets import OffsetSource
from core.data.files.parquet import ParquetSource
from core.data.files.rows import Fingerprint, Row, Source, Span
from core.errors import AfinaError
from core.paths import cache_folder

__all__ = ["Fingerprint", "Row", "Source", "Span", "begin_source", "looks_like_data", "open_source"]

Name = str | os.PathLike[str]
Mix = Mapping[str, float]  # further names, with how often each of their rows is seen in an epoch


def begin_source(path: Name, mix: Mix | None = None, cache: Name | None = None) -> Source:
    """A source whose rows are still to be found with `index()`; raises AfinaError.

    path: a file, a folder, a pattern, a folder saved by datasets, or a hub id. cache: the folder of
    indexes and decompressed copies; the home's without one.
    """
    store = FileCache(Path(cache) if cache else cache_folder())
    if not mix:
        return _begin_one(path, store)
    weights = {str(path): 1.0, **{str(name): _weight(name, mix[name]) for name in mix}}
    members = [
        Member(Path(name), _opener(name, store), weight, _size(name))
        for name, weight in weights.items()
    ]
    return JoinedSource(Path(path), lambda: Listing(members))


def open_source(path: Name, mix: Mix | None = None, cache: Name | None = None) -> Source:
    """A source with all its rows found: what everything but the pane wants."""
    return begin_source(path, mix, cache).index()


def looks_like_data(path: Name) -> str | None:
    """Why a name can't be data, in one sentence; None if it can. Reads no content."""
    try:
        name = os.fspath(path)
        place = Path(name).expanduser()
        if is_pattern(name):
            gather_pattern(name)
        elif place.is_dir():
            gather(place)
        elif not is_dataset_id(name):
            require_file(place)
            require_ending(place)
            if not os.access(place, os.R_OK):
                return f'Can\'t read "{place}": permission denied.'
    except AfinaError as error:
        return error.message
    return None


def _begin_one(path: Name, store: FileCache) -> Source:
    name, place = os.fspath(path), Path(path).expanduser()
    if is_pattern(name):
        return JoinedSource(place, lambda: _listing(gather_pattern(str(place)), store))
    if place.is_dir():
        return JoinedSource(place, lambda: _listing(gather(place), store))
    if is_dataset_id(name):
        return HubSource(name, lambda path: _begin_file(path, store))
    return _begin_file(place, store)


def _begin_file(path: Path, store: FileCache) -> Source:
    require_file(path)
    ending = require_ending(path)
    if ending.is_table:
        return (ParquetSource if ending.layout == "parquet" else ArrowSource)(path, store)
    if ending.compression:
        return CompressedSource(path, ending, store)
    return OffsetSource(path, ending, store)


def _listing(found: Gathered, store: FileCache) -> Listing:
    members = [
        Member(path, _file_opener(path, store), size=path.stat().st_size) for path in found.files
    ]
    return Listing(members, found.skipped)


def _opener(name: str, store: FileCache) -> Callable[[], Source]:
    return lambda: _begin_one(name, store)


def _file_opener(path: Path, store: FileCache) -> Callable[[], Source]:
    return lambda: _begin_file(path, store)


def _weight(name: str, weight: float) -> float:
    if not math.isfinite(weight) or weight <= 0:
        raise AfinaError(
            f'The weight of "{name}" is {weight}; it has to be more than 0.',
            "0.5 sees a half of its rows in an epoch, 2 sees each twice.",
        )
    return float(weight)


def _size(name: str) -> int:
    try:
        return os.stat(name).st_size
    except OSError:
        return 0
