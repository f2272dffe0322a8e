"""A file checked as a whole: its survey, run to the end, and the report about it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from core.data.analysis.analysis import Analysis, Options, Progress
from core.data.analysis.cache import AnalysisCache
from core.data.analysis.job import Labour, Subject
from core.data.analysis.leak import Held
from core.data.files.source import open_source
from core.data.problems import RowProblem
from core.data.recipe import Recipe
from core.data.shapes.detect import detect

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


class Inquiry(msgspec.Struct, frozen=True):
    """What is asked of a file, and how."""

    options: Options = Options()
    eval_path: str | None = None  # compared with the file
    mix: dict[str, float] = {}
    processes: int | None = None  # None: as many as there are cores, where it pays
    cache: bool = False  # take what an earlier survey found, keep what this one finds


def check_file(
    path: str | os.PathLike[str],
    recipe: Recipe,
    inquiry: Inquiry = Inquiry(),  # noqa: B008 - frozen
    on_progress: OnProgress | None = None,
) -> Report:
    """Checks a whole file; the checks on tokens run where the recipe names a model.

    Raises AfinaError for a file that can't be read, whose shape is not trained on, or a bad model.
    """
    with surveyed(path, recipe, inquiry, on_progress) as survey:
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
    path: str | os.PathLike[str],
    recipe: Recipe,
    inquiry: Inquiry = Inquiry(),  # noqa: B008 - frozen
    on_progress: OnProgress | None = None,
) -> Iterator[Analysis]:
    """The survey of a file, run to its end; raises AfinaError as check_file does."""
    if inquiry.eval_path is None:
        with _one(path, recipe, inquiry, on_progress) as survey:
            yield survey
        return
    with Labour(processes=inquiry.processes) as labour:
        held = form_of(inquiry.eval_path, recipe, labour)
    with _one(path, recipe, inquiry, on_progress, held) as survey:
        yield survey


def form_of(path: str, recipe: Recipe, labour: Labour) -> Held:
    """The eval file after its form pass; raises AfinaError as check_file does."""
    source = open_source(path)
    subject = Subject(
        source, recipe.reader(source), None, msgspec.structs.replace(recipe, model="")
    )
    survey = Analysis(subject, cache=AnalysisCache())
    for _ in survey.run(labour):
        pass
    survey.close()
    return Held(Path(path), subject, survey.facts)


@contextmanager
def _one(
    path: str | os.PathLike[str],
    recipe: Recipe,
    inquiry: Inquiry,
    on_progress: OnProgress | None,
    held: Held | None = None,
) -> Iterator[Analysis]:
    with open_source(path, inquiry.mix) as source:
        encoder = recipe.encoder() if recipe.model else None
        detection = detect(source)
        reader = recipe.reader(source, detection)
        share = detection.share if reader.shape == detection.shape else 0.0
        subject = Subject(source, reader, encoder, recipe, share, inquiry.mix)
        cache = AnalysisCache() if inquiry.cache else None
        survey = Analysis(subject, inquiry.options, cache, held)
        try:
            with Labour(processes=inquiry.processes) as labour:
                for progress in survey.run(labour):
                    if on_progress:
                        on_progress(progress)
            yield survey
        finally:
            survey.close()
