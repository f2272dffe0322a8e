"""What a person can chat with, evaluate or export: the TARGET of every command and pane.

A run, `run@checkpoint` (a step, "best" or "last"), `run@base`, a model folder, a hub id, a `.gguf`
file, an ONNX folder; the last four with adapters of their own kind beside them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from core.errors import AfinaError, nearest
from core.hub import is_hub_id
from core.model_files.gguf import Value, read_keys
from core.model_files.json_file import read_json
from core.model_files.onnx import ADAPTER as ONNX_ADAPTER
from core.model_files.onnx import ADAPTERS as ONNX_ADAPTERS
from core.model_files.onnx import CONFIG as GENAI_CONFIG
from core.runs.run import Run, find_run

GGUF = ".gguf"
NAME = "general.name"
BASE_NAME = "general.base_model.0.name"  # in a GGUF adapter: the model that it goes with
MODEL_KEYS = ("general.type", "general.architecture", NAME)  # files begin with them
ADAPTER_KEYS = (*MODEL_KEYS, "adapter.type", BASE_NAME)


class Target(msgspec.Struct, frozen=True):
    """One model that can answer, resolved to files."""

    word: str  # as the person wrote it
    kind: str  # "hf", "gguf" or "onnx"
    model: str  # folder of the base or merged model, the .gguf file, the ONNX folder
    adapter: str | None = None  # a PEFT folder, a .gguf or an .onnx_adapter file: of the kind
    chat_template: str | None = None  # a Jinja file that replaces the model's own
    run: str | None = None  # directory of the run it comes from
    label: str = ""  # short name for a column
    revision: str | None = None  # of a model that is a hub id, as long as nothing fetched it
    adapters: tuple[str, ...] = ()  # further ones, to switch to without loading again


def resolve(home: Path, word: str, adapter: str | Sequence[str] | None = None) -> Target:
    """The files behind a TARGET; the first of several adapters answers unless another is chosen.

    Raises AfinaError that says what was looked for and where.
    """
    adapters = [adapter] if isinstance(adapter, str) else list(adapter or ())
    path = Path(word).expanduser()
    if path.suffix == GGUF:
        return _with(home, _gguf(word, path), adapters)
    base = path.parent.parent  # of an adapter that lies among those of an ONNX folder
    if path.suffix == ONNX_ADAPTER and path.is_file() and (base / GENAI_CONFIG).is_file():
        target = Target(word, "onnx", str(base.resolve()), label=base.resolve().name)
        return _with(home, target, [str(path), *adapters])
    if (path / GENAI_CONFIG).is_file():
        folder = path.resolve()
        return _with(home, Target(word, "onnx", str(folder), label=folder.name), adapters)
    if (path / "config.json").is_file():
        folder = path.resolve()
        _refuse_classifier(word, folder)
        return _with(home, Target(word, "hf", str(folder), label=folder.name), adapters)
    if path.is_dir() and not (path / "config.yaml").is_file():
        raise AfinaError(
            f'The folder "{word}" holds no config.json.',
            "Name a model folder, a run, a .gguf file or an ONNX folder.",
        )
    if "/" in word and is_hub_id(word):
        return _with(home, Target(word, "hf", word, label=word.rpartition("/")[2]), adapters)
    name, point = split_point(word)
    target = of_run(find_run(home, name), point or "result", word)
    if adapters and target.adapter:
        raise AfinaError(
            f'"{word}" is a run and has an adapter of its own.',
            f"Leave out --adapter, or lay several over its base: {name}@base.",
        )
    return _with(home, target, adapters)


def split_point(word: str) -> tuple[str, str]:
    """A run's name and the point behind the last "@"; "" where none is named.

    What lies on the disk as it is written has no point: a folder's path may hold "@" too.
    """
    name, at, point = word.rpartition("@")
    if not at or os.path.exists(os.path.expanduser(word)):
        return word, ""
    return name, point


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
        revision=run.base_revision,
    )
    if point == "base":
        return base
    folder = weights_at(run, point)
    _refuse_classifier(word, folder)
    label = run.name if point == "result" else f"{run.name} @ {point}"
    if config.method.kind == "full":
        return msgspec.structs.replace(base, model=str(folder), label=label, revision=None)
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


def _gguf(word: str, path: Path) -> Target:
    if not path.is_file():
        raise AfinaError(f'There is no file "{word}".', "Check the path.")
    keys = _keys(path)
    if keys.get("general.type") == "adapter":
        raise AfinaError(
            f'"{word}" is an adapter, not a model: it goes with {_base_of(keys)}.',
            f'Name the GGUF file of that model, and --adapter "{word}".',
        )
    return Target(word, "gguf", str(path.resolve()), label=path.stem)


def _with(home: Path, target: Target, adapters: list[str]) -> Target:
    """The target under its adapters, each of which must be of its kind."""
    find = {"hf": _peft_adapter, "gguf": _gguf_adapter, "onnx": _onnx_adapter}[target.kind]
    found = list(dict.fromkeys(find(home, target, word) for word in adapters))
    if not found:
        return target
    label = f"{target.label} + {adapter_name(found[0])}"
    return msgspec.structs.replace(target, adapter=found[0], adapters=tuple(found[1:]), label=label)


def adapter_name(adapter: str) -> str:
    """A short name for the path of an adapter of any kind."""
    path = Path(adapter)
    if (path.parent / "config.yaml").is_file():
        return path.parent.name  # of a run
    return path.stem if path.suffix in (GGUF, ONNX_ADAPTER) else path.name


def choose_adapter(adapters: Sequence[str], word: str) -> str:
    """The one of several adapters whose path or short name is `word`. Raises AfinaError."""
    names = {adapter_name(path): path for path in reversed(adapters)}
    path = word if word in adapters else names.get(word)
    if path is None:
        known = ", ".join(sorted(names)) or "none"
        hint = f"{nearest(word, names)} There are: {known}.".lstrip()
        if not word:
            raise AfinaError("No adapter is named.", hint)
        raise AfinaError(f'There is no adapter "{word}" here.', hint)
    return path


def _peft_adapter(home: Path, target: Target, word: str) -> str:
    """A folder, or a run of the same base."""
    folder = Path(word).expanduser()
    if folder.suffix in (GGUF, ONNX_ADAPTER):
        beside = "a GGUF file" if folder.suffix == GGUF else "an ONNX folder"
        raise AfinaError(
            f'"{word}" goes beside {beside}, and "{target.word}" is a model of transformers.',
            "Name the folder of a PEFT adapter.",
        )
    if (folder / "adapter_config.json").is_file():
        return str(folder.resolve())
    name, point = split_point(word)
    try:
        run = find_run(home, name)
    except AfinaError:
        raise AfinaError(
            f'"{word}" holds no adapter_config.json, and no run is called so.',
            "Name the folder of a PEFT adapter, or a run.",
        ) from None
    of_its = of_run(run, point or "result", word)
    if of_its.adapter is None:
        raise AfinaError(f'"{word}" has no adapter: it is a model of its own.', "Name it alone.")
    names = (of_its.model, run.config.model.name_or_path)  # a folder, and its hub id
    if Path(target.model).resolve() not in [Path(name).expanduser().resolve() for name in names]:
        raise AfinaError(
            f'"{word}" was trained on "{of_its.model}", not on "{target.model}".',
            f"Lay it over {run.id}@base, or name its folder.",
        )
    return of_its.adapter


def _gguf_adapter(home: Path, target: Target, word: str) -> str:
    path = Path(word).expanduser()
    if (path / "adapter_config.json").is_file():
        raise AfinaError(
            f'"{word}" is a PEFT adapter, which can\'t be laid over a GGUF file.',
            "Write it as a GGUF adapter: afina export BASE --adapter DIR --to gguf:lora.",
        )
    if not path.is_file():
        raise AfinaError(f'There is no adapter file "{word}".', "Name a .gguf adapter.")
    keys = _keys(path)
    if keys.get("general.type") != "adapter":
        raise AfinaError(
            f'"{word}" is a model, not an adapter.', "Name a file from --to gguf:lora."
        )
    if keys.get("adapter.type") != "lora":
        raise AfinaError(
            f'"{word}" is an adapter of the type "{keys.get("adapter.type")}".',
            "llama.cpp knows adapters of the type lora.",
        )
    model = _keys(Path(target.model))
    there = model.get("general.architecture")
    own = keys.get(NAME)
    # both are of one run, which isn't called as its base: it would count twice
    if own is not None and own == model.get(NAME) and own != keys.get(BASE_NAME):
        raise AfinaError(
            f'"{target.word}" holds "{own}" already, which "{word}" would add once more.',
            f"Lay it over a GGUF of {_base_of(keys)}: afina export RUN@base --to gguf:q8_0.",
        )
    if keys.get("general.architecture") != there:
        raise AfinaError(
            f'"{word}" goes with {_base_of(keys)}, and "{target.word}" is of the architecture '
            f"{there}.",
            "Name the GGUF file of that model.",
        )
    return str(path.resolve())


def _keys(path: Path) -> dict[str, Value]:
    """What a GGUF file says of itself; a model's vocabulary, which is long, is not read for it."""
    keys = read_keys(path, MODEL_KEYS)
    return read_keys(path, ADAPTER_KEYS) if keys.get("general.type") == "adapter" else keys


def _base_of(keys: Mapping[str, Value]) -> str:
    """The model that a GGUF adapter says it goes with."""
    family = f"a {keys.get('general.architecture', 'llama')} model"
    return f'"{keys[BASE_NAME]}", {family}' if BASE_NAME in keys else family


def _onnx_adapter(home: Path, target: Target, word: str) -> str:
    path = Path(word).expanduser()
    if path.suffix == ONNX_ADAPTER and path.is_file():
        return str(path.resolve())
    own = sorted((Path(target.model) / ONNX_ADAPTERS).glob(f"*{ONNX_ADAPTER}"))
    for adapter in own:
        if adapter.stem == word:
            return str(adapter)
    problem = "is no .onnx_adapter file" if path.exists() else "is not there"
    names = ", ".join(adapter.stem for adapter in own)
    raise AfinaError(
        f'The adapter "{word}" {problem}.',
        f'Adapters of "{target.word}": {names}.'
        if own
        else f'"{target.word}" has none: afina export RUN --to onnx:multi-int4 writes them.',
    )
