"""Writes the rows of a source anew: with a person's edits, without what is wrong, cut to size.

One pass in the order of the rows. What happens to a row, in this order: the filter, its edit, the
drops by hand, the cut to max_length, the drops for problems, then for being a copy, then the
conversion.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from core.data.catalog import require_checks_of_rows
from core.data.edit.convert import Target
from core.data.edit.edits import EditedSource, Edits
from core.data.edit.near import Cancelled, near_neighbours
from core.data.edit.output import Output, line_from, line_of, publish
from core.data.edit.truncate import Shortener
from core.data.encode.encoder import Encoder
from core.data.files.source import Row, Source
from core.data.problems import ERROR, RowProblem
from core.data.sample import Sample
from core.data.shapes.read import Reader
from core.data.shapes.row_key import sample_key
from core.data.split import row_keys
from core.errors import AfinaError

BATCH_ROWS = 64
FILTERED, BY_HAND, TOO_LONG = "filter", "dropped_by_hand", "too_long"
COPY, NEAR = "exact_duplicate", "near_duplicate"

OnProgress = Callable[[int, int], object]  # rows done, rows in all
Guard = Callable[[], AbstractContextManager[None]]


class Cancel(Exception):
    """The writing was cancelled; nothing of it is left."""


class Fixes(msgspec.Struct, frozen=True):
    """What is to be mended on the way; an encoder adds the checks on tokens to those of form."""

    drop_errors: bool = False  # rows that can't be used or that teach nothing
    drop_checks: tuple[str, ...] = ()  # rows with one of these problems
    drop_duplicates: bool = False  # all copies of a row but the first
    drop_near: bool = False  # and of rows that are nearly the same
    truncate: bool = False  # cut rows to the encoder's max_length; see core.data.edit.truncate


class Task(msgspec.Struct):
    """What is written from where: rows of a source, as they are read, and what is mended."""

    source: Source
    reader: Reader
    encoder: Encoder | None = None
    edits: Edits | None = None
    rows: Sequence[int] | None = None  # indexes in the order wanted; None is all of them
    passed: bytes | None = None  # 1 for each row of the source that a filter lets through
    fixes: Fixes = Fixes()
    target: Target | None = None  # None keeps the rows' own form
    guard: Guard = nullcontext  # held while rows are encoded


class Written(msgspec.Struct):
    """What became of the rows; row numbers count from 1."""

    path: str  # empty where no file was written
    format: str
    rows_in: int
    rows: int = 0
    bytes: int = 0
    edited: list[int] = []
    truncated: list[int] = []
    truncated_tokens: int = 0
    dropped: dict[str, list[int]] = {}  # reason -> rows
    lost: dict[str, list[int]] = {}  # what the format has no place for -> rows
    edits_without_row: int = 0  # pending edits whose row is no longer in the source

    @property
    def dropped_rows(self) -> int:
        return sum(map(len, self.dropped.values()))

    def drop(self, reason: str, number: int) -> None:
        self.dropped.setdefault(reason, []).append(number)

    def fields(self) -> dict[str, Any]:
        """The report as `--json` prints it and the worker answers it."""
        return {**msgspec.to_builtins(self), "dropped_rows": self.dropped_rows}


class _Draft(msgspec.Struct):
    """A row on its way into the file."""

    row: Row
    sample: Sample | None
    problems: list[RowProblem]
    changed: bool  # its bytes are no longer those of the source
    reason: str = ""  # why it is left out


def write_file(
    task: Task,
    out: str | os.PathLike[str],
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
    cancelled: Cancelled | None = None,
    complete: bool = False,
) -> Written:
    """Writes a new file and says what changed on the way.

    With `complete` there is no file unless every row is in it; the report tells which are not.
    Raises AfinaError where nothing could be written, and Cancel; both leave nothing behind.
    """
    require_checks_of_rows(task.fixes.drop_checks, task.encoder is not None)
    writer = Writer(task, cancelled or (lambda: False))
    total = writer.report.rows_in
    files = task.source.files
    size = sum(path.stat().st_size for path in files if path.exists())
    with Output(Path(out), files, overwrite, size) as output:
        for done, line in enumerate(writer.lines(), start=1):
            if line is not None:
                output.add(line)
            if done % BATCH_ROWS == 0:
                if cancelled and cancelled():
                    raise Cancel
                if on_progress:
                    on_progress(done, total)
        report = writer.report
        if complete and report.dropped_rows:
            return report
        if not output.rows:
            raise AfinaError(
                f"None of the {total:,} rows would be left, so no file is written.",
                "Reasons: "
                + ", ".join(f"{why} {len(n):,}" for why, n in report.dropped.items() if n),
            )
        output.finish()
        require_unchanged(task.source)
        publish(output)
    report.path, report.rows, report.bytes = (
        str(output.path),
        output.rows,
        output.path.stat().st_size,
    )
    return report


def require_unchanged(source: Source) -> None:
    """Raises AfinaError where the file was changed while it was read: rows may be torn."""
    if source.changed():
        raise AfinaError(
            f'"{source.path}" has changed while it was read. Nothing was kept.', "Try again."
        )


class Writer:
    """Makes the lines of the new file, row by row, and keeps account."""

    def __init__(self, task: Task, cancelled: Cancelled = lambda: False) -> None:
        self._task = task
        self._source = EditedSource(task.source, task.edits) if task.edits else task.source
        self._seen: set[int] = set()
        self._shortener = _shortener(task)
        self._keys: Sequence[int] = ()
        self._near = self._compare(cancelled) if task.fixes.drop_near else {}
        rows = range(len(task.source)) if task.rows is None else task.rows
        self._rows = rows
        self.report = Written("", task.target.name if task.target else "same", len(rows))
        self.report.dropped = {check: [] for check in task.fixes.drop_checks}
        if task.edits is not None:
            self.report.edits_without_row = len(task.edits.lost)

    def lines(self) -> Iterator[bytes | None]:
        """One per row asked for; None for a row that is left out."""
        wanted = iter(self._rows)
        while batch := list(islice(wanted, BATCH_ROWS)):
            drafts = [self._draft(index) for index in batch]
            with self._task.guard():
                self._add_token_problems([draft for draft in drafts if not draft.reason])
            for draft in drafts:
                yield self._line(draft)

    def _compare(self, cancelled: Cancelled) -> dict[int, list[int]]:
        """The key of each row, and of those that are nearly the same."""
        reader = self._task.reader
        self._keys = row_keys(self._source, reader, cancelled)
        near = near_neighbours(self._source, reader, self._keys, cancelled)
        if cancelled():
            raise Cancel
        return near

    def _draft(self, index: int) -> _Draft:
        row, edits = self._source.row(index), self._task.edits
        if self._task.passed is not None and not self._task.passed[index]:
            return _Draft(row, None, [], False, FILTERED)
        if edits is not None and index in edits.dropped:
            return _Draft(row, None, [], False, BY_HAND)
        edited = edits is not None and index in edits.edited
        reading = self._task.reader.read(row)
        return _Draft(row, reading.sample, reading.problems, edited)

    def _add_token_problems(self, drafts: list[_Draft]) -> None:
        """Encodes the rows where their tokens matter; cuts those that are too long."""
        task = self._task
        looks = task.fixes.drop_errors or task.fixes.drop_checks or task.fixes.truncate
        if task.encoder is None or not looks:
            return
        able = [draft for draft in drafts if draft.sample is not None]
        samples = [draft.sample for draft in able if draft.sample is not None]
        for draft, encoding in zip(able, task.encoder.encode_many(samples), strict=True):
            longest = encoding.truncated_tokens
            if encoding.rejected is not None:
                longest = max(longest, encoding.rejected.truncated_tokens)
            if not task.fixes.truncate or not longest:
                draft.problems = draft.problems + encoding.problems
                continue
            self._cut(draft, longest)

    def _cut(self, draft: _Draft, tokens: int) -> None:
        assert self._shortener is not None and draft.sample is not None
        shorter = self._shortener.shorten(draft.row, draft.sample)
        if shorter is None:
            draft.reason = TOO_LONG
            return
        draft.row, draft.sample, draft.problems, left = shorter
        draft.changed = True
        self.report.truncated.append(draft.row.number)
        self.report.truncated_tokens += left

    def _line(self, draft: _Draft) -> bytes | None:
        number = draft.row.number
        reason = draft.reason or self._reason(draft)
        line = None
        if not reason:
            line, reason = self._form(draft)
        if reason:
            self.report.drop(reason, number)
            return None
        edits = self._task.edits
        if edits is not None and draft.row.index in edits.edited:
            self.report.edited.append(number)
        return line

    def _reason(self, draft: _Draft) -> str:
        """Why a row is left out; empty for one that is kept."""
        fixes = self._task.fixes
        for problem in draft.problems:
            if problem.check in fixes.drop_checks:
                return problem.check
            if fixes.drop_errors and problem.severity == ERROR:
                return problem.check
        return self._copied(draft)

    def _copied(self, draft: _Draft) -> str:
        """Whether a row that stays says the same, or nearly; else it is one that stays."""
        fixes = self._task.fixes
        if draft.sample is None or not (fixes.drop_duplicates or fixes.drop_near):
            return ""
        key = self._keys[draft.row.index] if fixes.drop_near else sample_key(draft.sample)
        if key in self._seen:
            return COPY
        if any(near in self._seen for near in self._near.get(key, ())):
            return NEAR
        self._seen.add(key)
        return ""

    def _form(self, draft: _Draft) -> tuple[bytes | None, str]:
        """The row's line, or why the target can't hold it."""
        task, row = self._task, draft.row
        if task.target is None:
            if draft.changed:
                return line_from(row.value), ""
            line = line_of(row, task.source.raw(row.index))
            return line or None, "" if line else _why(draft)
        if draft.sample is None or row.value is None:
            return None, _why(draft)
        converted = task.target.convert(draft.sample)
        if converted.value is None:
            return None, converted.refusal
        carried = task.target.carry(row.value, task.reader.shape, converted.value)
        losses = converted.losses + carried
        for loss in losses:
            self.report.lost.setdefault(loss, []).append(row.number)
        return line_from(converted.value), ""


def _why(draft: _Draft) -> str:
    """Why there is nothing of a row to be written: a table's damaged row has no bytes."""
    errors = (item.check for item in draft.problems if item.severity == ERROR)
    return next(errors, "unreadable")


def _shortener(task: Task) -> Shortener | None:
    if not task.fixes.truncate:
        return None
    if task.encoder is None or task.encoder.max_length is None:
        raise AfinaError(
            "Rows can't be truncated without a model and a length.", "Choose a model first."
        )
    return Shortener(task.reader, task.encoder)
