"""What is wrong with what a run is to learn: objectives, and what can't be combined with them."""

from __future__ import annotations

from collections.abc import Iterator

from core.config import Config
from core.data.shapes.detect import SHAPES, objectives_of
from core.errors import FieldProblem


def objective_problems(config: Config) -> Iterator[FieldProblem]:
    """Problems of train.objective, its loss, and the data it is given."""
    yield from _fit(config)
    if config.train.objective not in ("auto", "sft"):
        yield from _combinations(config)


def _fit(config: Config) -> Iterator[FieldProblem]:
    data, objective = config.data, config.train.objective
    fitting = (
        objective == "auto" or data.format == "auto" or objective in objectives_of(data.format)
    )
    if not fitting:
        shapes = [shape for shape in SHAPES if objective in objectives_of(shape)]
        yield FieldProblem(
            "train.objective",
            f'Rows of the shape "{data.format}" can\'t be trained on by {objective}.',
            f"It takes {', '.join(shapes)}; or set train.objective to auto.",
        )


def _combinations(config: Config) -> Iterator[FieldProblem]:
    """What the objectives other than sft can't be combined with."""
    train = config.train
    if train.packing == "on":
        yield FieldProblem(
            "train.packing",
            f"Rows can't be packed under {train.objective}: they are compared or judged one by "
            "one.",
            "Set it to auto or off.",
        )
    if train.objective == "classification" and config.eval.watch_prompts:
        yield FieldProblem(
            "eval.watch_prompts",
            "A classifier answers no prompts.",
            "Take the prompts away.",
        )
    if config.data.streaming:
        yield FieldProblem(
            "data.streaming",
            f"Only sft is streamed, and train.objective is {train.objective}.",
            "Set data.streaming to false.",
        )
