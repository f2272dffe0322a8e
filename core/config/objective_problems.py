"""What is wrong with what a run is to learn: objectives, and what can't be combined with them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from core.config import Config
from core.data.escape import visible
from core.data.shapes.detect import SHAPES, objectives_of
from core.errors import FieldProblem

# where the targets are no distribution over tokens or classes, nor a verdict that can be doubted
UNSMOOTHED = {
    "kto": "kto learns from single verdicts",
    "orpo": "the odds ratio of orpo has no target to soften",
}


def objective_problems(config: Config) -> Iterator[FieldProblem]:
    """Problems of train.objective, its loss, and the data it is given."""
    yield from _custom_loss(config)
    shape, wanted = config.data.format, config.train.objective
    if shape != "auto":
        yield from shape_problems(config, shape)
    elif wanted != "auto":
        yield from combination_problems(config, wanted)


def shape_problems(config: Config, shape: str) -> Iterator[FieldProblem]:
    """What a configuration can't learn from rows of a shape."""
    able, wanted = objectives_of(shape), config.train.objective
    if wanted == "auto" or wanted in able:
        yield from combination_problems(config, able[0] if wanted == "auto" else wanted)
        return
    shapes = ", ".join(name for name in SHAPES if wanted in objectives_of(name))
    yield FieldProblem(
        "train.objective",
        f'Rows of the shape "{shape}" can\'t be trained on by {wanted}.',
        f"It takes {shapes}; or set train.objective to auto.",
    )


def combination_problems(config: Config, objective: str) -> Iterator[FieldProblem]:
    """What an objective can't be combined with."""
    train = config.train
    if objective != "sft":
        yield from _only_for_sft(config, objective)
    if train.loss_type != "sigmoid" and objective != "dpo":
        yield FieldProblem(
            "train.loss_type",
            f"{train.loss_type} is a loss of dpo, and the objective is {objective}.",
            "Leave it out, or set train.objective to dpo.",
        )
    if objective == "kto" and train.per_device_train_batch_size < 2:
        yield FieldProblem(
            "train.per_device_train_batch_size",
            "kto compares the rows of a batch, and the batches have one row.",
            "Set it to 2 or more.",
        )
    if objective == "classification" and config.eval.watch_prompts:
        yield FieldProblem(
            "eval.watch_prompts", "A classifier answers no prompts.", "Take the prompts away."
        )
    if objective == "classification" and config.method.kind == "prompt":
        yield FieldProblem(
            "method.kind",
            "Under a learned prompt transformers' classifiers look at the padding behind a row.",
            "Set method.kind to lora, ia3 or full.",
        )
    if train.label_smoothing_factor:
        yield from _smoothing(config, objective)


def _only_for_sft(config: Config, objective: str) -> Iterator[FieldProblem]:
    if config.train.packing == "on":
        yield FieldProblem(
            "train.packing",
            f"Rows can't be packed under {objective}: they are compared or judged one by one.",
            "Set it to auto or off.",
        )
    if config.data.streaming:
        yield FieldProblem(
            "data.streaming",
            f"Only sft is streamed, and the objective is {objective}.",
            "Set it to false.",
        )
    if config.train.custom_loss:
        yield FieldProblem(
            "train.custom_loss",
            f"Only sft takes a loss of your own, and the objective is {objective}.",
            "Leave it out.",
        )
    if config.train.neftune_noise_alpha:
        yield FieldProblem(
            "train.neftune_noise_alpha",
            f"Noise on the embeddings is for sft, and the objective is {objective}.",
            "Leave it out.",
        )


def _smoothing(config: Config, objective: str) -> Iterator[FieldProblem]:
    """Where label smoothing means nothing, or too much."""
    field, factor = "train.label_smoothing_factor", config.train.label_smoothing_factor
    reason = UNSMOOTHED.get(objective)
    if objective == "dpo" and config.train.loss_type == "ipo":
        reason = "the margin that ipo aims at already keeps the model from certainty"
    if objective == "sft" and config.train.custom_loss:
        reason = "the loss is train.custom_loss"
    if reason:
        yield FieldProblem(field, f"There is nothing to smooth: {reason}.", "Set it to 0.")
    elif objective == "dpo" and factor >= 0.5:
        yield FieldProblem(
            field,
            f"{factor:g} would make the rejected answer as likely the better one, or more so.",
            "Set it below 0.5; 0.1 says that one pair in ten is judged the wrong way round.",
        )


def _custom_loss(config: Config) -> Iterator[FieldProblem]:
    """What shows of a loss of one's own without running it."""
    field, word = "train.custom_loss", config.train.custom_loss
    if word is None:
        return
    path, colon, name = word.rpartition(":")
    if not colon or not path.endswith(".py") or not name.isidentifier():
        yield FieldProblem(
            field,
            f'"{word}" names no function or class in a file.',
            "Write it as loss.py:function or loss.py:Class.",
        )
    elif not Path(path).expanduser().is_file():
        yield FieldProblem(
            field,
            f'There is no file "{path}".',
            "Check the path; it is taken from the working directory.",
        )
    elif fault := _fault_of(Path(path).expanduser(), name):
        yield FieldProblem(field, *fault)


def _fault_of(path: Path, name: str) -> tuple[str, str] | None:
    """Why a file can't hold the loss of that name, and what to do; reads its code, runs nothing."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        return f"{path.name}{line} is not Python: {visible(reason)}.", "Mend that line."
    except OSError as error:
        return f'Can\'t read "{path}": {error.strerror}.', "Check its permissions."
    own = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    bound |= {node.asname or node.name for node in ast.walk(tree) if isinstance(node, ast.alias)}
    if name in own or name in bound or "*" in bound:  # whether it can be called, the run will see
        return None
    return f'{path.name} has no "{name}".', f"It has {', '.join(own) or 'no function or class'}."
