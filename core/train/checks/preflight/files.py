"""What shows on this machine before a run is made: a GPU where one is asked for, the model's files,
its tokenizer, its layers, the room on the disk.

Loads no torch. Problems are those of options, as in core/config/problems.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.config import Config
from core.data.encode.tokenizer import tokenizer_values
from core.errors import AfinaError, FieldProblem
from core.figures import size
from core.hardware import read_device
from core.hub import model_folder
from core.model_files.json_file import read_json
from core.train.checks.preflight import named
from core.train.checks.preflight.model import check_model_folder

FIELD = "model.name_or_path"
GPU_DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/kfd"), Path("/dev/dxg"))  # NVIDIA, AMD, WSL
SPARE_BYTES = 64 * 2**20  # left free, for events and logs


def problems(home: Path, config: Config) -> list[FieldProblem]:
    """What stands in the way of a run; a model that is to be fetched is left to the run."""
    from core.runs.continue_from import resolve_config

    try:
        config = resolve_config(home, config)
        folder = model_folder(config.model.name_or_path, config.model.revision)
    except AfinaError:
        return []  # named by another check, or fetched by the run
    try:
        check_model_folder(folder)
    except AfinaError as error:
        return [FieldProblem(FIELD, error.message, error.hint)]
    return [
        *_device(config),
        *_room(home, config),
        *_tokenizer(folder),
        *named.problems(config, folder),
    ]


def _device(config: Config) -> Iterator[FieldProblem]:
    """That a GPU is there where one is asked for; whether torch can use it, the run finds out."""
    drivers = any(path.exists() for path in GPU_DRIVERS)
    if config.launch.device == "cuda" and not drivers and read_device("cuda").kind != "cuda":
        yield FieldProblem(
            "launch.device",
            "It is cuda, and this machine shows no GPU.",
            "Set it to auto or cpu.",
        )


def _room(home: Path, config: Config) -> Iterator[FieldProblem]:
    """Room for the checkpoints that are kept, one more, and the result."""
    from core.plan.plan import make_plan

    try:
        plan = make_plan(home, config)
    except AfinaError as error:
        yield FieldProblem(FIELD, error.message, error.hint)
        return
    if plan.disk_bytes + SPARE_BYTES <= plan.disk_free_bytes:
        return
    least = 2 * plan.checkpoint_bytes + plan.result_bytes + SPARE_BYTES
    where = f'{size(plan.disk_free_bytes)} are free at "{home}"'
    kept = config.checkpoint.keep
    yield FieldProblem(
        "checkpoint.keep",
        f"{kept} checkpoints of {size(plan.checkpoint_bytes)}, one more while it is written and "
        f"the result take {size(plan.disk_bytes)}, and {where}.",
        f"Keep fewer (at 1 it takes {size(least)}), free some, or name another home.",
        severity="error" if least > plan.disk_free_bytes else "warning",
    )


def _tokenizer(folder: Path) -> Iterator[FieldProblem]:
    """That there is one, and tokens that the model has no embedding for, which stop a run."""
    config: dict[str, Any] = read_json(folder, "config.json")
    vocabulary = (config.get("text_config") or config).get("vocab_size")
    try:
        values = tokenizer_values(folder)
    except AfinaError as error:
        yield FieldProblem(FIELD, error.message, error.hint)
        return
    added = [
        token
        for token in values.get("added_tokens", [])
        if isinstance(token.get("id"), int) and vocabulary and token["id"] >= vocabulary
    ]
    if added:
        names = ", ".join(f'"{token.get("content")}"' for token in added[:3])
        more = f" and {len(added) - 3:,} more" if len(added) > 3 else ""
        yield FieldProblem(
            FIELD,
            f"The tokenizer has {names}{more} beyond the model's {vocabulary:,} embeddings.",
            "Rows that hold one can't be trained on; use the tokenizer that came with the model.",
            severity="warning",
        )
