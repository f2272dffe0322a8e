"""Rows that say nearly the same, for what is done with them: kept on one side, or left out.

What is near is decided in core.data.analysis.near; here it becomes groups.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence

from core.data.files.source import Source
from core.data.shapes.read import Reader

Cancelled = Callable[[], bool]


def near_keys(
    source: Source, reader: Reader, keys: Sequence[int], cancelled: Cancelled
) -> array[int]:
    """The keys of all rows, with one for those that are nearly the same: the smallest of theirs.

    Alike is taken as far as it reaches: a row goes with whatever is like a row that is like it.
    """
    leader: dict[int, int] = {}

    def find(key: int) -> int:
        while (parent := leader.get(key, key)) != key:
            leader[key] = leader.get(parent, parent)  # halves the way for the next search
            key = parent
        return key

    for one, other in _alike(source, reader, keys, cancelled):
        low, high = sorted((find(keys[one]), find(keys[other])))
        leader[high] = low
    return array("Q", map(find, keys))


def near_neighbours(
    source: Source, reader: Reader, keys: Sequence[int], cancelled: Cancelled
) -> dict[int, list[int]]:
    """For the key of each row that has any: the keys of the rows that are nearly the same."""
    near: dict[int, list[int]] = {}
    for one, other in _alike(source, reader, keys, cancelled):
        near.setdefault(keys[one], []).append(keys[other])
        near.setdefault(keys[other], []).append(keys[one])
    return near


def _alike(
    source: Source, reader: Reader, keys: Sequence[int], cancelled: Cancelled
) -> Iterator[tuple[int, int]]:
    """Pairs of rows that are alike, of each key its first row only."""
    import numpy as np

    from core.data.analysis.near import near_pairs

    _, first = np.unique(np.frombuffer(array("Q", keys), "u8"), return_index=True)
    return near_pairs(source, reader, np.sort(first), cancelled)
