"""From the data file to the rows a trainer takes: encoded by core.data, split, packed. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from core.config import Config
from core.data.analysis.job import Subject
from core.data.encode.encoder import Encoder
from core.data.files.rows import Span
from core.data.files.source import Source, open_source
from core.data.problems import RowProblem
from core.data.recipe import Recipe
from core.data.shapes.read import Reader
from core.data.split import split_source
from core.plan.layout import open_rows
from core.plan.objective import objective_of
from core.train.loader.encode import OnProgress, encode_some, encode_source
from core.train.loader.mixture import Drawn, draw
from core.train.loader.rows import Label, Rows

if TYPE_CHECKING:
    from core.train.loader.stream_estimate import Streamed

LEAST_SEEN = 0.5  # of a mixture's rows, in an epoch: where it is less, the others stay unencoded


class Encoded(msgspec.Struct):
    """Both sides of a run's data; of streamed rows, `train` are only those that were looked at."""

    train: Rows
    evaluation: Rows
    shape: str
    objective: str = "sft"
    streamed: Streamed | None = None
    unknown_classes: frozenset[Label] = frozenset()  # of held-out rows that are left out for it
    of_files: Sequence[RowProblem] = ()  # what is to be said of whole files, such as skipped ones

    @property
    def classes(self) -> list[Label]:
        """The classes of a classification in the order of its outputs; else none."""
        if self.objective != "classification":
            return []
        return sorted(set(self.train.judgements), key=lambda label: (isinstance(label, str), label))

    @property
    def rows(self) -> int:
        """Rows of an epoch; of streamed ones, as `tokens`, an estimate."""
        return self.streamed.rows if self.streamed else len(self.train)

    @property
    def tokens(self) -> int:
        return self.streamed.tokens if self.streamed else self.train.tokens

    @property
    def supervised_tokens(self) -> int:
        return (self.streamed or self.train).supervised_tokens

    def digest(self) -> str:
        if self.streamed:
            return self.streamed.digest()
        return f"{self.train.digest()[:32]}{self.evaluation.digest()[:32]}"


def held_out_rows(config: Config, source: Source, reader: Reader) -> Sequence[int]:
    """The rows of data.path and its mixture that a run evaluates on, ascending."""
    if config.data.streaming:
        from core.train.loader.stream_estimate import draw_held_out

        return draw_held_out(len(source), config.data.eval_fraction, config.train.seed)
    return split_source(source, reader, config.data.eval_fraction, config.train.seed).eval


def load(config: Config, encoder: Encoder, on_progress: OnProgress) -> Encoded:
    """Reads, splits and encodes the rows that a configuration names.

    Rows are held out before the mixture's weights repeat or draw what is left.
    """
    if config.data.streaming:
        from core.train.loader.stream_estimate import look

        seen = look(config, encoder, on_progress)
        shape = seen.stream.reader.shape
        objective = objective_of(config, shape)
        return Encoded(seen.sample, seen.evaluation, shape, objective, seen, of_files=seen.of_files)
    recipe = Recipe.of(config)
    with open_rows(config) as source:
        of_files = source.problems
        subject = Subject(source, recipe.reader(source), encoder, recipe, mix=config.data.mix)
        objective = objective_of(config, subject.reader.shape)
        train, evaluation = _both(config, subject, on_progress)
    if config.data.eval_path is not None:
        with open_source(config.data.eval_path) as source:
            of_files += source.problems
            there = Subject(source, recipe.reader(source), encoder, recipe)
            evaluation = encode_source(there, on_progress).rows(Drawn(range(len(source))))
    shape = subject.reader.shape
    encoded = Encoded(train, evaluation, shape, objective, of_files=of_files)
    if objective == "classification":
        encoded.unknown_classes = frozenset(evaluation.judgements) - set(encoded.classes)
        encoded.evaluation = evaluation.without(encoded.unknown_classes)
    return encoded


def _both(config: Config, subject: Subject, on_progress: OnProgress) -> tuple[Rows, Rows]:
    """What is trained on of the rows of data.path and its mixture, and what is held out of them."""
    source, seed = subject.source, config.train.seed
    spans = source.weights() if config.data.mix else ()
    fraction = 0.0 if config.data.eval_path is not None else config.data.eval_fraction
    if _seen_share(spans) < LEAST_SEEN:
        split = split_source(source, subject.reader, fraction, seed) if fraction else None
        kept = range(len(source)) if split is None else split.train
        drawn = draw(kept, spans, seed)
        held_out: Sequence[int] = () if split is None else split.eval
        return (
            encode_some(subject, drawn.rows, on_progress).rows(drawn.renumbered()),
            encode_some(subject, held_out, on_progress).rows(Drawn(range(len(held_out)))),
        )
    table = encode_source(subject, on_progress)
    if not fraction:
        return table.rows(draw(range(len(table)), spans, seed)), Rows()
    split = table.split(fraction, seed)
    return table.rows(draw(split.train, spans, seed)), table.rows(Drawn(split.eval))


def _seen_share(spans: Sequence[Span]) -> float:
    """Of the rows of a mixture, those that an epoch sees at least once."""
    total = sum(span.end - span.start for span in spans)
    seen = sum((span.end - span.start) * min(1.0, span.weight) for span in spans)
    return seen / total if total else 1.0
