"""Writes the two halves of a split, train.jsonl and eval.jsonl, and tells how they came about."""

from __future__ import annotations

import math
import os
from array import array
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from core.data.edit.near import near_keys
from core.data.edit.output import Output, line_of, publish
from core.data.edit.stratify import Class, ClassRows, class_of, strata
from core.data.edit.writer import BATCH_ROWS, Cancel, Cancelled, OnProgress, require_unchanged
from core.data.files.source import Source
from core.data.shapes.read import Reader
from core.data.shapes.row_key import bytes_key, sample_key
from core.data.split import Split, split_keys
from core.errors import AfinaError

NAMES = ("train.jsonl", "eval.jsonl")
SMALL_ROWS = 1000  # files below it hold out the larger share
SMALL_FRACTION, FRACTION = 0.2, 0.1
MOST_ROWS = 10_000  # of a default evaluation set


class SplitTask(msgspec.Struct):
    """What is split, and how."""

    source: Source
    reader: Reader
    fraction: float | None = None  # None: see default_fraction
    by: str | None = None  # "label", or a field of the row such as "meta.topic"
    seed: int = 42
    near: bool = False  # rows that are almost copies stay on one side too


class SplitReport(msgspec.Struct):
    """What was split and how it came out."""

    path: str
    train: str
    eval: str
    rows: int
    train_rows: int
    eval_rows: int
    fraction: float
    reason: str  # of the fraction, a sentence
    seed: int
    by: str | None
    near: bool
    classes: list[ClassRows]
    groups: int  # of rows that are copies of each other, or nearly
    grouped_rows: int  # rows in such groups
    unreadable: int  # rows that can't be used; they are parted like the others
    left_out: list[int] = []  # numbers of rows of a damaged table, which have no content
    pending: int = 0  # edits that are not in the files: they are not written yet

    @property
    def unjudged(self) -> list[Class]:
        """Classes with no row to evaluate with."""
        return [item.value for item in self.classes if not item.eval]

    def fields(self) -> dict[str, Any]:
        """The report as `--json` prints it and the worker answers it."""
        return {**msgspec.to_builtins(self), "unjudged": self.unjudged}


def default_fraction(rows: int) -> tuple[float, str]:
    """The share of rows to hold out, and why.

    20 % of a small file, 10 % of a larger one: the usual range, so that most rows still train. How
    sharp a measured share of right answers is depends on the rows alone: its 95 % interval is at
    most 0.98 / sqrt(rows) to each side (normal approximation at a share of one half). 100 rows tell
    10 points apart, 10,000 rows 1 point; more than that only cost time at every evaluation.
    """
    fraction = SMALL_FRACTION if rows < SMALL_ROWS else FRACTION
    held = max(1, round(fraction * rows))
    points = 98 / math.sqrt(held)
    sharpness = f"{held:,} rows tell a share of right answers to ±{min(points, 50):.1f} points"
    if held > MOST_ROWS:
        fraction = MOST_ROWS / rows
        return fraction, (
            f"{MOST_ROWS:,} rows, because they tell a share of right answers to ±1.0 points and "
            "more would only cost time at every evaluation"
        )
    size = f"{'under ' if rows < SMALL_ROWS else ''}{SMALL_ROWS:,} rows"
    size += "" if rows < SMALL_ROWS else " or more"
    return fraction, f"{fraction:.0%}, because the file has {size}: {sharpness}"


def split_file(
    task: SplitTask,
    folder: str | os.PathLike[str],
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
    cancelled: Cancelled | None = None,
) -> SplitReport:
    """Writes both halves into a folder and says how they came about.

    Raises AfinaError where that can't be done, and Cancel; both leave nothing behind.
    """
    source = task.source
    if len(source) < 2:
        raise AfinaError(f'"{source.path}" has {_count(len(source))}, and a split takes two.')
    fraction, reason = task.fraction, "as asked for"
    if fraction is None:
        fraction, reason = default_fraction(len(source))
    if not 0.0 < fraction < 1.0:
        raise AfinaError(f"The share to evaluate with is between 0 and 1, not {fraction:g}.")
    stop = cancelled or (lambda: False)
    keys, named, unreadable = _look(task, stop)
    if task.near:
        keys = near_keys(source, task.reader, keys, stop)
        if stop():
            raise Cancel
    layers = strata(named, task.by, source) if task.by else None
    split = split_keys(keys, fraction, task.seed, layers.codes if layers else None)
    _require_both(split, keys)
    train, held = (Path(folder).expanduser() / name for name in NAMES)
    left_out = _write(source, split, (train, held), overwrite, on_progress, stop)
    copies = [count for count in Counter(keys).values() if count > 1]
    return SplitReport(
        path=str(source.path),
        train=str(train),
        eval=str(held),
        rows=len(source),
        train_rows=len(set(split.train) - left_out),
        eval_rows=len(set(split.eval) - left_out),
        fraction=fraction,
        reason=reason,
        seed=task.seed,
        by=task.by,
        near=task.near,
        classes=layers.parted(split) if layers else [],
        groups=len(copies),
        grouped_rows=sum(copies),
        unreadable=unreadable,
        left_out=sorted(index + 1 for index in left_out),
    )


def _require_both(split: Split, keys: Sequence[int]) -> None:
    """Raises AfinaError where one side has no rows."""
    if split.eval and split.train:
        return
    if len(set(keys)) == 1:
        words = f"The {_count(len(keys))} can't be parted: they are copies of each other."
    else:
        use = "evaluate with" if split.train else "train on"
        words = f"None of the {_count(len(keys))} would be left to {use}."
    raise AfinaError(words, "Choose another share with --eval.")


def _count(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows:,} rows"


def _look(task: SplitTask, cancelled: Cancelled) -> tuple[array[int], list[Any], int]:
    """Each row's key and class (None for no field), and how many rows can't be used."""
    keys, named, unreadable = array("Q"), [], 0
    for index in range(len(task.source)):
        if index % BATCH_ROWS == 0 and cancelled():
            raise Cancel
        row = task.source.row(index)
        sample = task.reader.read(row).sample
        unreadable += sample is None
        key = bytes_key(task.source.raw(index)) if sample is None else sample_key(sample)
        keys.append(key)
        if task.by:
            named.append(class_of(row, sample, task.by))
    return keys, named, unreadable


def _write(
    source: Source,
    split: Split,
    paths: tuple[Path, Path],
    overwrite: bool,
    on_progress: OnProgress | None,
    cancelled: Cancelled,
) -> set[int]:
    """Both files or none; both are complete on the disk before either has its name.

    Returns the rows that have no content to be written.
    """
    left_out: set[int] = set()
    size = sum(path.stat().st_size for path in source.files if path.exists())
    done, total = 0, len(source)
    with (
        Output(paths[0], source.files, overwrite, size) as train,
        Output(paths[1], source.files, overwrite, 0) as held,
    ):
        for output, rows in ((train, split.train), (held, split.eval)):
            for index in rows:
                if line := line_of(source.row(index), source.raw(index)):
                    output.add(line)
                else:
                    left_out.add(index)
                done += 1
                if done % BATCH_ROWS == 0:
                    if cancelled():
                        raise Cancel
                    if on_progress:
                        on_progress(done, total)
            output.finish()
        require_unchanged(source)
        publish(train, held)
    return left_out
