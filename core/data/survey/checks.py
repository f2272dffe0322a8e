"""A file checked as a whole: its survey, run to the end, and the report about it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from core.data.files.source import open_source
from core.data.problems import RowProblem
from core.data.recipe import Recipe
from core.data.shapes.detect import detect
from core.data.survey.survey import Progress, Subject, Survey

OnProgress = Callable[[Progress], None]


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


def check_file(
    path: str | os.PathLike[str], recipe: Recipe, on_progress: OnProgress | None = None
) -> Report:
    """Checks a whole file; the checks on tokens run where the recipe names a model.

    Raises AfinaError for a file that can't be read, whose shape is not trained on, or a bad model.
    """
    with surveyed(path, recipe, on_progress) as survey:
        subject, ledger = survey.subject, survey.ledger
        return Report(
            str(path),
            subject.reader.shape,
            subject.share,
            survey.rows,
            ledger.errors,
            ledger.warnings,
            list(ledger),
        )


@contextmanager
def surveyed(
    path: str | os.PathLike[str], recipe: Recipe, on_progress: OnProgress | None = None
) -> Iterator[Survey]:
    """The survey of a file, run to its end; raises AfinaError as check_file does."""
    with open_source(path) as source:
        encoder = recipe.encoder() if recipe.model else None
        detection = detect(source)
        reader = recipe.reader(source, detection)
        share = detection.share if reader.shape == detection.shape else 0.0
        survey = Survey(Subject(source, reader, encoder, recipe, share))
        try:
            for progress in survey.run(lambda: False):
                if on_progress:
                    on_progress(progress)
            yield survey
        finally:
            survey.close()
