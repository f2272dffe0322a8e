"""What is wrong with a configuration, as far as it shows without loading the model or the data."""

from __future__ import annotations

import string
from collections.abc import Iterator
from glob import has_magic, iglob
from pathlib import Path

from core.config import Config
from core.errors import FieldProblem

TEMPLATES = ("chatml", "llama3", "alpaca")  # built in; anything else is a file
# The shapes that an objective is trained on; core.data.shapes says the same of a file's rows
SHAPES_OF = {
    "sft": ("chat", "sharegpt", "alpaca", "prompt_completion", "template", "text", "pretokenised"),
    "dpo": ("preference",),
    "kto": ("kto",),
    "classification": ("classification",),
}


def problems(config: Config) -> list[FieldProblem]:
    """Every problem and warning, by the field that it belongs to."""
    return [
        *_model_problems(config),
        *_path_problems(config),
        *_shape_problems(config),
        *_method_problems(config),
        *_streaming_problems(config),
    ]


def _model_problems(config: Config) -> Iterator[FieldProblem]:
    field, model = "model.name_or_path", config.model.name_or_path
    folder = Path(model).expanduser()
    if not model:
        yield FieldProblem(field, "No model is named.", "Give a folder or a hub id.")
    elif folder.exists() and not (folder / "config.json").is_file():
        yield FieldProblem(field, f'"{model}" has no config.json.', "Give the folder that has one.")
    elif not folder.exists() and model.count("/") != 1:
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
        if path and not names_data(path):
            yield _missing(field, path)
    template = data.chat_template
    if template and template not in TEMPLATES and not Path(template).expanduser().is_file():
        yield FieldProblem(
            "data.chat_template",
            f'There is no file "{template}".',
            f"Check the path, or name one that is built in: {', '.join(TEMPLATES)}.",
        )
    if data.path in data.mix:
        yield FieldProblem(
            "data.mix",
            f'"{data.path}" is data.path, whose rows are there already.',
            "Name further files only.",
        )


def names_data(path: str) -> bool:
    """Whether a path can be data: something that is there, files by a pattern, or a hub id."""
    try:
        if Path(path).expanduser().exists():
            return True
        if has_magic(path):
            return next(iglob(str(Path(path).expanduser()), recursive=True), None) is not None
    except (OSError, ValueError):  # a name that no file can have
        return False
    return path.count("/") == 1 and not path.startswith((".", "/", "~")) and not Path(path).suffix


def _missing(field: str, path: str) -> FieldProblem:
    if has_magic(path):
        return FieldProblem(field, f'No file matches "{path}".', "Check the pattern.")
    return FieldProblem(
        field,
        f'There is no file or folder "{path}".',
        "Check the path; it is taken from the working directory.",
    )


def _shape_problems(config: Config) -> Iterator[FieldProblem]:
    data, objective = config.data, config.train.objective
    shapes = SHAPES_OF.get(objective, ())
    if objective != "auto" and data.format not in ("auto", *shapes):
        yield FieldProblem(
            "train.objective",
            f'Rows of the shape "{data.format}" can\'t be trained on by {objective}.',
            f"It takes {', '.join(shapes)}; or set train.objective to auto.",
        )
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


def _method_problems(config: Config) -> Iterator[FieldProblem]:
    method, train, data = config.method, config.train, config.data
    if method.kind == "full":
        for name in ("dora", "rslora"):
            if getattr(method, name):
                yield FieldProblem(
                    f"method.{name}",
                    "This belongs to an adapter, and the method is full.",
                    "Set method.kind to lora, or switch it off.",
                )
        if train.learning_rate > 2e-4:
            yield FieldProblem(
                "train.learning_rate",
                f"{train.learning_rate:g} is high for full tuning.",
                "1e-5 to 5e-5 is usual.",
                severity="warning",
            )
    if (
        data.eval_path is None
        and data.eval_fraction == 0
        and config.checkpoint.early_stopping_patience
    ):
        yield FieldProblem(
            "checkpoint.early_stopping_patience",
            "Early stopping needs evaluation rows, and none are held out.",
            "Set data.eval_fraction or data.eval_path.",
        )
    if train.objective in ("dpo", "kto", "classification"):
        yield from _objective_problems(config)


def _objective_problems(config: Config) -> Iterator[FieldProblem]:
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


def _streaming_problems(config: Config) -> Iterator[FieldProblem]:
    objective = config.train.objective
    if config.data.streaming and objective not in ("auto", "sft"):
        yield FieldProblem(
            "data.streaming",
            f"Only sft is streamed, and train.objective is {objective}.",
            "Set data.streaming to false.",
        )
