"""The classes of rows: the values of a label or of a field, of which each side gets its share."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from core.data.files.source import Row, Source
from core.data.sample import Labelled, Sample, UnpairedPreference
from core.data.split import Split
from core.errors import AfinaError

MOST_CLASSES = 100
ABSENT = "(none)"  # the class of rows without the field
_LOOKED_AT = 50  # rows whose fields are named where nobody has the one asked for

Class = str | int | bool


class ClassRows(msgspec.Struct):
    """How the rows of one class were parted."""

    value: Class
    train: int
    eval: int


class Strata(msgspec.Struct):
    """The classes in an order of their own, and for each row its place among them."""

    values: list[Class]
    codes: array[int]

    def parted(self, split: Split) -> list[ClassRows]:
        """How many rows of each class are on each side."""
        train, held = (
            Counter(self.codes[row] for row in side) for side in (split.train, split.eval)
        )
        return [ClassRows(value, train[code], held[code]) for code, value in enumerate(self.values)]


def class_of(row: Row, sample: Sample | None, by: str) -> Any:
    """A row's value: "label" is its label, whatever the shape calls it; None where it has none."""
    if by == "label":
        if isinstance(sample, Labelled):
            return sample.label
        if isinstance(sample, UnpairedPreference):
            return sample.good
    value: Any = row.value
    for key in by.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def strata(named: Sequence[Any], by: str, source: Source) -> Strata:
    """The strata of rows with these values.

    Raises AfinaError for a field that no row has, or whose values are no classes.
    """
    if all(value is None for value in named):
        keys = ", ".join(f'"{key}"' for key in _keys_of(source)) or "none"
        raise AfinaError(f'No row has a field "{by}".', f"The rows have the fields {keys}.")
    for index, value in enumerate(named):
        if value is not None and not isinstance(value, str | int):
            what = "a number with a fraction" if isinstance(value, float) else "a list or an object"
            raise AfinaError(
                f'"{by}" is {what} in row {index + 1}, and rows are parted by text, whole numbers '
                "or true and false.",
                "Choose another field.",
            )
    # True and 1 are two classes, though Python finds them equal.
    values = {(type(value).__name__, value) for value in named if value is not None}
    most = min(MOST_CLASSES, max(2, len(named) // 2))
    if len(values) > most:
        raise AfinaError(
            f'"{by}" has {len(values):,} different values in {len(named):,} rows, too many to give '
            "each its share of both sides.",
            f"Choose a field with at most {most} values.",
        )
    order = {pair: code for code, pair in enumerate(sorted(values))}
    codes = array("Q", (order.get((type(value).__name__, value), len(order)) for value in named))
    absent = [ABSENT] if len(order) in codes else []
    return Strata([*(value for _, value in order), *absent], codes)


def _keys_of(source: Source) -> list[str]:
    """The fields that the first readable rows have."""
    keys: dict[str, None] = {}
    for index in range(min(len(source), _LOOKED_AT)):
        value = source.row(index).value
        if isinstance(value, dict):
            keys.update(dict.fromkeys(map(str, value)))
    return list(keys)[:12]
