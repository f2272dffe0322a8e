"""What is wrong with a configuration, as far as it shows without loading the model or the data."""

from __future__ import annotations

import string
from collections.abc import Iterator
from glob import has_magic
from pathlib import Path

from core.config import Config
from core.config.method_problems import method_problems
from core.config.objective_problems import objective_problems
from core.data.encode.template import BUILT_IN
from core.data.files.source import looks_like_data
from core.errors import FieldProblem
from core.hub import is_hub_id


def problems(config: Config) -> list[FieldProblem]:
    """Every problem and warning that the configuration alone shows, by the field it belongs to.

    What else a run stands on is in core/runs/problems.py, which asks here too.
    """
    return [
        *_model_problems(config),
        *_path_problems(config),
        *_template_problems(config),
        *_eval_problems(config),
        *objective_problems(config),
        *method_problems(config),
    ]


def _model_problems(config: Config) -> Iterator[FieldProblem]:
    field, model = "model.name_or_path", config.model.name_or_path
    folder = Path(model).expanduser()
    if not model and config.model.continue_from:
        return  # what goes on brings its base
    if not model:
        yield FieldProblem(field, "No model is named.", "Give a folder or a hub id.")
    elif folder.exists() and not (folder / "config.json").is_file():
        yield FieldProblem(field, f'"{model}" has no config.json.', "Give the folder that has one.")
    elif not folder.exists() and (model.count("/") != 1 or not is_hub_id(model)):
        yield FieldProblem(
            field,
            f'There is no folder "{model}".',
            "Check the path, or give a hub id as owner/name.",
        )


def _path_problems(config: Config) -> Iterator[FieldProblem]:
    data = config.data
    if not data.path:
        yield FieldProblem("data.path", "No data file is named.", "Give a .jsonl file.")
    named = [("data.path", data.path), ("data.eval_path", data.eval_path)]
    for field, path in [*named, *(("data.mix", path) for path in data.mix)]:
        if path and (found := _data_problem(field, path)):
            yield found
    template = data.chat_template
    if template and template not in BUILT_IN and not Path(template).expanduser().is_file():
        yield FieldProblem(
            "data.chat_template",
            f'There is no file "{template}".',
            f"Check the path, or name one that is built in: {', '.join(BUILT_IN)}.",
        )
    if data.path in data.mix:
        yield FieldProblem(
            "data.mix",
            f'"{data.path}" is data.path, whose rows are there already.',
            "Name further files only.",
        )


def _data_problem(field: str, path: str) -> FieldProblem | None:
    """What is wrong with a name for data; a hub id is looked for when the data are read."""
    if "\0" in path:
        return FieldProblem(field, "No name of a file holds a NUL character.")
    is_hub_id = path.count("/") == 1 and path[0] not in "./~" and not Path(path).suffix
    if is_hub_id and not has_magic(path) and not Path(path).exists():
        return None
    reason = looks_like_data(path)
    if reason:
        return FieldProblem(
            field, reason, "Check the name; it is taken from the working directory."
        )
    file = Path(path).expanduser()
    if file.is_file() and file.stat().st_size == 0:
        return FieldProblem(field, f'"{path}" is empty.', "Check how it was written or copied.")
    return None


def _template_problems(config: Config) -> Iterator[FieldProblem]:
    data = config.data
    if data.format == "template" and not data.prompt_template:
        yield FieldProblem(
            "data.prompt_template",
            "The shape is template, and there is none.",
            'Write one: "### Question: {question}\\n### Answer: {answer}".',
        )
    if data.prompt_template is None:
        return
    if data.format not in ("auto", "template"):
        yield FieldProblem(
            "data.prompt_template",
            f'The shape is "{data.format}", which takes no prompt template.',
            "Set data.format to template or auto, or take the template away.",
        )
    if not _has_fields(data.prompt_template):
        yield FieldProblem(
            "data.prompt_template",
            "It names no column in braces.",
            "Write columns as {question} and {answer}; the last one is what is learned.",
        )


def _has_fields(template: str) -> bool:
    try:
        return any(name for _, name, _, _ in string.Formatter().parse(template))
    except ValueError:  # a lone brace
        return False


def _eval_problems(config: Config) -> Iterator[FieldProblem]:
    data = config.data
    nothing_held_out = data.eval_path is None and data.eval_fraction == 0
    if nothing_held_out and config.checkpoint.early_stopping_patience:
        yield FieldProblem(
            "checkpoint.early_stopping_patience",
            "Early stopping needs evaluation rows, and none are held out.",
            "Set data.eval_fraction or data.eval_path.",
        )
