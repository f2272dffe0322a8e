"""Runs every check over a file and counts what it finds.

The checks of a row's form lie with its shape, those of its tokens with the encoding; here are the
ones that look at more than one row.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator

import msgspec

from core.data.encode.encoder import EncodedRow, Encoder, walk_rows
from core.data.files.source import Source, open_source
from core.data.problems import ERROR, WARNING, RowProblem, problem
from core.data.shapes.detect import detect, named_shape, require_trainable
from core.data.shapes.read import Reader
from core.data.survey.duplicates import sample_key

__all__ = ["FEW_ROWS", "Checker", "Report", "RowProblem", "check_file", "check_rows"]
FEW_ROWS = 10


class Report(msgspec.Struct):
    """What is wrong with a file. Notes are in `problems` and in no count."""

    path: str
    shape: str
    share: float  # of the sampled rows that have the shape, 0 to 1
    rows: int
    errors: int
    warnings: int
    problems: list[RowProblem]

    @property
    def clean(self) -> bool:
        return not self.errors and not self.warnings

    def by_check(self) -> list[tuple[str, int]]:
        """(check, how often), the commonest first."""
        return Counter(item.check for item in self.problems).most_common()


class Checker:
    """Sees the rows one by one and remembers what is needed to compare them."""

    def __init__(self) -> None:
        self.rows = 0
        self._first: dict[int, int] = {}  # key of a sample -> number of the row that had it first

    def see(self, item: EncodedRow) -> list[RowProblem]:
        """All problems of one row."""
        self.rows += 1
        found = item.encoding.problems
        if item.sample is None:
            return found
        number = item.row.number
        first = self._first.setdefault(sample_key(item.sample), number)
        if first != number:
            found = [*found, _duplicate(first).at(number, item.row.line)]
        return found

    def finish(self) -> list[RowProblem]:
        """The problems of the file as a whole."""
        if self.rows >= FEW_ROWS:
            return []
        return [
            problem(
                "too_few_examples",
                "",
                "1 row" if self.rows == 1 else f"{self.rows} rows",
                f"at least {FEW_ROWS}",
                "Add rows: 50 to 100 good ones are where tuning begins to show.",
                WARNING if self.rows else ERROR,
            )
        ]


def check_rows(
    source: Source, reader: Reader, encoder: Encoder | None = None
) -> Iterator[list[RowProblem]]:
    """The problems of each row, one list per row, and last those of the file."""
    checker = Checker()
    for item in walk_rows(source, reader, encoder):
        yield checker.see(item)
    yield checker.finish()


def check_file(
    path: str | os.PathLike[str],
    model: str | os.PathLike[str] | None = None,
    shape: str | None = None,
    max_length: int | None = None,
    supervise: str = "assistant",
    on_progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Checks a whole file; the checks on tokens need a model. on_progress gets (rows done, rows).

    Raises AfinaError for a file that can't be read, whose shape is not trained on, or a bad model.
    """
    with open_source(path) as source:
        encoder = Encoder.load(model, max_length, supervise) if model is not None else None
        detection = detect(source)
        name = named_shape(shape) if shape else require_trainable(detection)
        problems: list[RowProblem] = []
        for done, found in enumerate(check_rows(source, Reader(name), encoder), start=1):
            problems += found
            if on_progress and done % 256 == 0:
                on_progress(min(done, len(source)), len(source))
        counts = Counter(item.severity for item in problems)
        share = detection.share if name == detection.shape else 0.0
        return Report(str(path), name, share, len(source), counts[ERROR], counts[WARNING], problems)


def _duplicate(first: int) -> RowProblem:
    return problem(
        "exact_duplicate",
        "",
        f"the same content as row {first}",
        "a row of its own",
        "Drop the copy, unless it is meant to weigh more.",
        WARNING,
    )
