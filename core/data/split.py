"""Splits rows into train and eval: seeded, and copies of a row stay on one side."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from core.data.files.source import Source
from core.data.sample import Labelled, UnpairedPreference
from core.data.shapes.read import Reader
from core.data.shapes.row_key import bytes_key, sample_key
from core.errors import AfinaError

NO_CLASS = 2**64 - 1  # the code of rows without a class


class Split(msgspec.Struct):
    """Row indexes (from 0), each ascending; together they are all rows that were given."""

    train: array[int]  # array("Q")
    eval: array[int]


def split_source(source: Source, reader: Reader, eval_fraction: float, seed: int = 42) -> Split:
    """Splits all rows of a source by their content; classes and verdicts give each their share."""
    keys, classes = array("Q"), array("Q")
    codes: dict[tuple[str, Any], int] = {}
    for index in range(len(source)):
        sample = reader.read(source.row(index)).sample
        keys.append(bytes_key(source.raw(index)) if sample is None else sample_key(sample))
        if isinstance(sample, Labelled | UnpairedPreference):
            value = sample.label if isinstance(sample, Labelled) else sample.good
            # True and 1 are two classes, though Python finds them equal
            classes.append(codes.setdefault((type(value).__name__, value), len(codes)))
        else:
            classes.append(NO_CLASS)
    return split_keys(keys, eval_fraction, seed, classes if codes else None)


def row_keys(
    source: Source, reader: Reader, cancelled: Callable[[], bool] = lambda: False
) -> array[int]:
    """One key per row, equal for rows that say the same; unreadable rows count by their bytes.

    Ends early, without the rest, when it is cancelled.
    """
    keys = array("Q")
    for index in range(len(source)):
        if cancelled():
            break
        sample = reader.read(source.row(index)).sample
        keys.append(bytes_key(source.raw(index)) if sample is None else sample_key(sample))
    return keys


def split_keys(
    keys: Sequence[int],
    eval_fraction: float,
    seed: int = 42,
    classes: Sequence[int] | None = None,
) -> Split:
    """Splits rows given by their keys, and by their classes where there are any.

    The side of a row depends on its key, the seed and the fraction, not on where it stands in the
    file. Eval gets round(fraction * rows) rows, fewer where a group of copies would not fit or a
    class would have none left to be learned by, and at least one group if there are two. Each class
    gives its share of them, rounded so that the sum holds (largest remainders); a group of copies
    counts for the class of most of its rows.
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
    if classes is None:
        chosen = _take(order, groups, wanted)
    else:
        chosen = []
        for part, quota in _quotas(order, groups, classes, wanted):
            chosen += _take(part, groups, quota, at_least_one=False)
    held = set(chosen)
    train = array("Q", (index for index in range(len(keys)) if index not in held))
    return Split(train, array("Q", sorted(held)))


def _take(
    order: list[int], groups: dict[int, list[int]], wanted: int, at_least_one: bool = True
) -> list[int]:
    """The rows of whole groups, in that order, as many as fit into `wanted`."""
    chosen: list[int] = []
    for position, key in enumerate(order):
        first = at_least_one and position == 0 and wanted > 0 and len(order) > 1
        if first or len(chosen) + len(groups[key]) <= wanted:
            chosen += groups[key]
        if len(chosen) >= wanted:
            break
    return chosen


def _quotas(
    order: list[int], groups: dict[int, list[int]], classes: Sequence[int], wanted: int
) -> list[tuple[list[int], int]]:
    """The groups of each class, in their order, with the rows that eval gets of it."""
    parts: dict[int, list[int]] = {}
    rows: Counter[int] = Counter()
    for key in order:
        members = Counter(classes[index] for index in groups[key])
        name = min(members, key=lambda name: (-members[name], name))
        parts.setdefault(name, []).append(key)
        rows[name] += len(groups[key])
    shares = {name: wanted * count / rows.total() for name, count in rows.items()}
    several = [name for name, part in parts.items() if len(part) > 1]
    least = dict.fromkeys(several, 1) if len(several) <= wanted else {}
    # a class of one group comes last: nobody could learn it if that were held out
    ranks = {name: (name not in several, count, name) for name, count in rows.items()}
    quotas = _rounded(shares, ranks, wanted, least)
    return [(parts[name], quotas[name]) for name in sorted(parts)]


def _rounded(
    shares: dict[int, float], ranks: dict[int, Any], wanted: int, least: dict[int, int]
) -> dict[int, int]:
    """Whole shares that sum up to `wanted`, by largest remainders, none below its least.

    Equal remainders go to the smaller class: it has the greater need of a row to be judged by.
    """
    most = {name: rows if alone else rows - 1 for name, (alone, rows, _) in ranks.items()}
    quotas = {
        name: min(max(int(share), least.get(name, 0)), most[name]) for name, share in shares.items()
    }

    def order(name: int) -> Any:
        alone, *rank = ranks[name]
        return alone, quotas[name] - shares[name], rank

    left = wanted - sum(quotas.values())
    short = [name for name in shares if quotas[name] < min(shares[name], most[name])]
    for name in sorted(short, key=order)[: max(0, left)]:
        quotas[name] += 1
    while sum(quotas.values()) > wanted:  # what the least of rare classes takes from others
        above = [name for name in quotas if quotas[name] > least.get(name, 0)]
        quotas[max(above, key=order)] -= 1
    return quotas
