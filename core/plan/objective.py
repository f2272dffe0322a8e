"""What a run learns, by its configuration and the shape of its rows. Loads no torch."""

from __future__ import annotations

from core.config import Config
from core.config.objective_problems import shape_problems
from core.data.files.hub import is_dataset_id
from core.data.files.source import open_source
from core.data.recipe import Recipe
from core.data.shapes.detect import objectives_of
from core.errors import AfinaError, FieldProblem


def objective_of(config: Config, shape: str) -> str:
    """sft, dpo, orpo, kto or classification; raises AfinaError for what the rows can't train.

    Says also what an objective can't be combined with, where only the shape tells the objective.
    """
    for problem in shape_problems(config, shape):
        raise AfinaError(problem.message, f"{problem.field}: {problem.hint}")
    wanted = config.train.objective
    return objectives_of(shape)[0] if wanted == "auto" else wanted


def check_shape(config: Config) -> list[FieldProblem]:
    """What the rows say against a configuration, before a run of it is made.

    Looks at 200 rows of data.path and of data.eval_path; a hub's are left to the run, which fetches
    them. What can't be read is a problem of its field. Where data.format tells the shape,
    `core.config.problems` has said all of it already.
    """
    learned, found = _shape(config, "data.path")
    if learned and config.data.format == "auto":
        found += shape_problems(config, learned)
    if found:
        return found
    judged, found = _shape(config, "data.eval_path")
    if learned and judged:
        objective = objective_of(config, learned)
        if objective not in objectives_of(judged):
            found.append(
                FieldProblem(
                    "data.eval_path",
                    f'Its rows have the shape "{judged}", which can\'t measure {objective}.',
                    "Give rows of the shape that data.path has.",
                )
            )
    return found


def _shape(config: Config, field: str) -> tuple[str | None, list[FieldProblem]]:
    """The shape of the rows that an option names, or why they have none."""
    path = getattr(config.data, field.removeprefix("data."))
    if not path or is_dataset_id(path):
        return None, []
    try:
        with open_source(path) as source:
            return Recipe.of(config).reader(source).shape, []
    except AfinaError as error:
        return None, [FieldProblem(field, error.message, error.hint)]
