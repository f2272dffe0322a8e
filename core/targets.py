"""What a person can chat with, evaluate or export: the TARGET of every command and pane.

A run, `run@checkpoint` (a step, "best" or "last"), `run@base`, a model folder or a hub id (with an
adapter beside it), a `.gguf` file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from core.data.encode.tokenizer import read_json
from core.errors import AfinaError
from core.hub import is_hub_id
from core.runs import Run, find_run


class Target(msgspec.Struct, frozen=True):
    """One model that can answer, resolved to files."""

    word: str  # as the person wrote it
    kind: str  # "hf" or "gguf"
    model: str  # folder of the base or merged model, or the .gguf file
    adapter: str | None = None
    chat_template: str | None = None  # a Jinja file that replaces the model's own
    run: str | None = None  # directory of the run it comes from
    label: str = ""  # short name for a column


def resolve(home: Path, word: str, adapter: str | None = None) -> Target:
    """The files behind a TARGET. Raises AfinaError that says what was looked for and where."""
    path = Path(word).expanduser()
    if path.suffix == ".gguf":
        return _gguf(word, path, adapter)
    if (path / "config.json").is_file():
        folder = path.resolve()
        _refuse_classifier(word, folder)
        label = folder.name + (f" + {Path(adapter).name}" if adapter else "")
        return Target(word, "hf", str(folder), adapter=_adapter(adapter), label=label)
    if (path / "genai_config.json").is_file():
        raise AfinaError(
            f'"{word}" is an ONNX folder, and Afina can\'t run ONNX yet.', "Use a GGUF."
        )
    if path.is_dir() and not (path / "config.yaml").is_file():
        raise AfinaError(
            f'The folder "{word}" holds no config.json.',
            "Name a model folder, a run or a .gguf file.",
        )
    if "/" in word and is_hub_id(word):
        return Target(word, "hf", word, adapter=_adapter(adapter), label=word.rpartition("/")[2])
    name, _, point = word.partition("@")
    run = find_run(home, name)
    if adapter:
        raise AfinaError(
            f'"{word}" is a run and has an adapter of its own.', "Leave out --adapter."
        )
    return of_run(run, point or "result", word)


def of_run(run: Run, point: str = "result", word: str = "") -> Target:
    """The target at one point of a run: "result", "base", "last", "best" or a step."""
    config = run.config
    word = word or (run.id if point == "result" else f"{run.id}@{point}")
    template = config.data.chat_template
    base = Target(
        word,
        "hf",
        run.base,
        chat_template=template,
        run=str(run.directory),
        label=f"{run.name} @ base",
    )
    if point == "base":
        return base
    folder = weights_at(run, point)
    _refuse_classifier(word, folder)
    label = run.name if point == "result" else f"{run.name} @ {point}"
    if config.method.kind == "full":
        return msgspec.structs.replace(base, model=str(folder), label=label)
    return msgspec.structs.replace(base, adapter=str(folder), label=label)


def weights_at(run: Run, point: str = "result") -> Path:
    """The folder of a run's adapter or model: "result", "last", "best" or a step."""
    return _result(run) if point == "result" else _checkpoint(run, point)


def is_classifier(values: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of a model that tells classes and writes no text."""
    names = values.get("architectures") or []
    return any(str(name).endswith("ForSequenceClassification") for name in names)


def _refuse_classifier(word: str, folder: Path) -> None:
    values = read_json(folder, "config.json")
    if is_classifier(values):
        classes = ", ".join(str(name) for name in (values.get("id2label") or {}).values())
        raise AfinaError(
            f'"{word}" is a classifier: it tells {classes} apart and writes no text.',
            "Load it with transformers: AutoModelForSequenceClassification.",
        )


def _result(run: Run) -> Path:
    if run.result is not None:
        return run.result
    checkpoints = run.checkpoints()
    if checkpoints:
        return checkpoints[-1]
    raise AfinaError(
        f'"{run.id}" has neither a result nor a complete checkpoint.',
        "Let it train on, or save one with `afina checkpoint`.",
    )


def _checkpoint(run: Run, point: str) -> Path:
    checkpoints = run.checkpoints()
    step = run.state().best_step if point == "best" else None
    wanted = f"step-{step if step is not None else point:0>6}"
    for folder in checkpoints:
        if folder.name == wanted or (point == "last" and folder == checkpoints[-1]):
            return folder
    there = ", ".join(str(int(folder.name[5:])) for folder in checkpoints) or "none"
    raise AfinaError(
        f'"{run.id}" has no complete checkpoint "{point}".', f"Complete checkpoints: {there}."
    )


def _gguf(word: str, path: Path, adapter: str | None) -> Target:
    if not path.is_file():
        raise AfinaError(f'There is no file "{word}".', "Check the path.")
    if adapter:
        raise AfinaError(
            "An adapter can't be laid over a GGUF file yet.", "Export with the adapter."
        )
    return Target(word, "gguf", str(path.resolve()), label=path.stem)


def _adapter(adapter: str | None) -> str | None:
    if adapter is None:
        return None
    folder = Path(adapter).expanduser()
    if not (folder / "adapter_config.json").is_file():
        raise AfinaError(
            f'"{adapter}" holds no adapter_config.json.', "Name the folder of a PEFT adapter."
        )
    return str(folder.resolve())
