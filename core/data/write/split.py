"""Splits rows into train and eval: seeded, and copies of a row stay on one side."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import msgspec

from core.data.files.source import Source
from core.data.shapes.read import Reader
from core.data.survey.duplicates import bytes_key, sample_key
from core.errors import AfinaError


class Split(msgspec.Struct):
    """Row indexes (from 0), each ascending; together they are all rows that were given."""

    train: array[int]  # array("Q")
    eval: array[int]


def split_source(source: Source, reader: Reader, eval_fraction: float, seed: int = 42) -> Split:
    """Splits all rows of a source by their content."""
    return split_keys(row_keys(source, reader), eval_fraction, seed)


def row_keys(source: Source, reader: Reader) -> array[int]:
    """One key per row, equal for rows that say the same; unreadable rows count by their bytes."""
    keys = array("Q")
    for index in range(len(source)):
        sample = reader.read(source.row(index)).sample
        keys.append(bytes_key(source.raw(index)) if sample is None else sample_key(sample))
    return keys


def split_keys(keys: Sequence[int], eval_fraction: float, seed: int = 42) -> Split:
    """Splits rows given by their keys.

    The side of a row depends on its key, the seed and the fraction, not on where it stands in the
    file. Eval gets round(fraction * rows) rows, fewer where a group of copies would not fit, and at
    least one group if there are two.
    Raises AfinaError for a fraction outside 0 to 1.
    """
    if not 0.0 <= eval_fraction < 1.0:
        raise AfinaError(f"eval_fraction must be at least 0 and below 1, not {eval_fraction}.")
    groups: dict[int, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    wanted = round(eval_fraction * len(keys))
    if eval_fraction and len(groups) > 1:
        wanted = max(1, wanted)
    salt = seed.to_bytes(16, "big", signed=True)
    order = sorted(groups, key=lambda key: bytes_key(salt + key.to_bytes(8, "big")))
    chosen: list[int] = []
    for position, key in enumerate(order):
        first = position == 0 and wanted > 0 and len(groups) > 1
        if first or len(chosen) + len(groups[key]) <= wanted:
            chosen += groups[key]
        if len(chosen) >= wanted:
            break
    held = set(chosen)
    train = array("Q", (index for index in range(len(keys)) if index not in held))
    return Split(train, array("Q", sorted(held)))
