"""The confusion matrix of a classifier's newest evaluation; its mistakes where that is too wide."""

from __future__ import annotations

from collections.abc import Sequence

from core.data.escape import visible
from tui.runs.detail import Confusion
from tui.theme import BLUE, GREEN, SECONDARY, YELLOW
from tui.widgets.row_list import Cell, Column

NAME_CELLS = (8, 24)  # narrowest and widest column of names
CLASS_CELLS = (6, 14)
GAP_CELLS = 2
RECALL = "found"  # the share of a class's rows that were given it


class ConfusionRows:
    """A row for each class, a column for each; or a row for each kind of mistake."""

    def __init__(self) -> None:
        self._confusion: Confusion | None = None
        self._mistakes: list[tuple[int, int, int]] | None = None  # class, given, rows

    def show(self, confusion: Confusion | None, width: int) -> list[Column]:
        """The columns for so many cells."""
        self._confusion, self._mistakes = confusion, None
        if confusion is None:
            return [Column("no evaluation yet", 0)]
        names = [visible(name, newlines=False) for name in confusion.classes]
        first = _between(max(map(len, names)) + GAP_CELLS, NAME_CELLS)
        cells = [_between(len(name) + GAP_CELLS, CLASS_CELLS) for name in names]
        if first + sum(cells) + len(RECALL) + 2 * GAP_CELLS <= width:
            columns = [
                Column(name, size, right=True) for name, size in zip(names, cells, strict=True)
            ]
            return [Column("class", first), *columns, Column(RECALL, 8, right=True)]
        self._mistakes = mistakes(confusion)
        return [
            Column("class", NAME_CELLS[1]),
            Column("taken for", NAME_CELLS[1]),
            Column("rows", 8, right=True),
        ]

    def __len__(self) -> int:
        if self._confusion is None:
            return 0
        return len(self._confusion.table if self._mistakes is None else self._mistakes)

    def cells(self, index: int) -> Sequence[Cell]:
        assert self._confusion is not None
        names = [visible(name, newlines=False) for name in self._confusion.classes]
        if self._mistakes is not None:
            true, given, count = self._mistakes[index]
            return ((names[true], BLUE), names[given], (f"{count:,}", YELLOW))
        row = self._confusion.table[index]
        counts = [_count(value, given == index) for given, value in enumerate(row)]
        share = f"{row[index] / sum(row):.0%}" if sum(row) else "-"
        return ((names[index], BLUE), *counts, share)


def confusion_facts(confusion: Confusion | None, dot: str) -> str:
    """ "step 400 · 96 of 120 right · rows are the class, columns what it was taken for"."""
    if confusion is None:
        return ""
    right = sum(row[index] for index, row in enumerate(confusion.table))
    total = sum(map(sum, confusion.table))
    return f"step {confusion.step:,}{dot}{right:,} of {total:,} right{dot}a row for each class"


def mistakes(confusion: Confusion) -> list[tuple[int, int, int]]:
    """(class, what it was taken for, rows), most first."""
    found = [
        (true, given, count)
        for true, row in enumerate(confusion.table)
        for given, count in enumerate(row)
        if count and true != given
    ]
    return sorted(found, key=lambda entry: -entry[2])


def _count(value: int, right: bool) -> Cell:
    if not value:
        return ("0", SECONDARY)
    return (f"{value:,}", GREEN if right else YELLOW)


def _between(value: int, limits: tuple[int, int]) -> int:
    return max(limits[0], min(limits[1], value))
