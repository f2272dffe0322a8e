"""What a run goes on from: a run at some point, or the folder of an adapter; found on the disk.

An adapter decides the method and the base of the run that continues it; a fully tuned model is the
base itself. Loads no torch. How it is recorded: lineage.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from core.config import Config, Method, Model
from core.errors import AfinaError, FieldProblem
from core.model_files.json_file import read_json
from core.runs.run import Run, find_run
from core.runs.target import split_point, weights_at

SETTINGS, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
KINDS = {"LORA": "lora", "IA3": "ia3", "PROMPT_TUNING": "prompt"}
# initialisations that leave the base as it is; the others take something out of it
PLAIN_STARTS = (True, False, "gaussian", "eva", "orthogonal")
HEADS = ("classifier", "score")  # that PEFT adds to modules_to_save for classes


class StartPoint(msgspec.Struct, frozen=True):
    """What goes on learning, found on the disk."""

    folder: Path  # of an adapter or a whole model
    base: str
    revision: str | None = None
    adapter: dict[str, Any] | None = None  # its adapter_config.json; None for a whole model
    run: Run | None = None
    point: str | int | None = None

    @property
    def word(self) -> str:
        """How a frozen configuration names it."""
        return str(self.folder) if self.run is None else f"{self.run.id}@{self.point}"


def find(home: Path, word: str, named_base: str = "") -> StartPoint:
    """What `model.continue_from` names; raises AfinaError that says what was looked for.

    `named_base` is the base of an adapter whose own is no longer where it says.
    """
    folder = Path(word).expanduser()
    if (folder / SETTINGS).is_file():
        settings = _settings(folder)
        base = settings.get("base_model_name_or_path") or ""
        if named_base and not Path(base).is_dir():
            base = named_base
        if not base:
            raise AfinaError(f'"{word}" doesn\'t say its base model.', "Set model.name_or_path.")
        return StartPoint(folder.resolve(), base, settings.get("revision"), settings)
    if (folder / "config.json").is_file():
        raise AfinaError(
            f'"{word}" is a whole model, not an adapter.',
            "Set model.name_or_path to it, and leave model.continue_from out.",
        )
    name, point = split_point(word)
    run = find_run(home, name)
    weights = weights_at(run, point or "result")
    at = int(weights.name[5:]) if weights.name.startswith("step-") else "result"
    if not (weights / SETTINGS).is_file():
        return StartPoint(weights, str(weights), run=run, point=at)
    settings = _settings(weights)
    return StartPoint(weights, run.base, run.base_revision, settings, run, at)


def resolve_config(home: Path, config: Config) -> Config:
    """The configuration with what an adapter or a run decides; raises AfinaError.

    Without model.continue_from it stays as it is.
    """
    if config.model.continue_from is None:
        return config
    begin = find(home, config.model.continue_from, config.model.name_or_path)
    _agree(config.model, begin)
    model = Model(begin.base, begin.revision, config.model.dtype, begin.word)
    method, data = config.method, config.data
    if begin.adapter is not None:
        method = _method_of(begin.folder, begin.adapter, method)
    if begin.run and data.chat_template is None:
        # it has learned to answer in this template
        data = msgspec.structs.replace(data, chat_template=begin.run.config.data.chat_template)
    return msgspec.structs.replace(config, model=model, method=method, data=data)


def continue_from_problems(home: Path, config: Config) -> Iterator[FieldProblem]:
    """That what goes on is there and agrees; and where the form says otherwise than the adapter."""
    if config.model.continue_from is None:
        return
    try:
        real = resolve_config(home, config)
    except AfinaError as error:
        yield FieldProblem("model.continue_from", error.message, error.hint)
        return
    default = Method()
    for name in Method.__struct_fields__:
        said, is_so = getattr(config.method, name), getattr(real.method, name)
        if said not in (is_so, getattr(default, name)):
            yield FieldProblem(
                f"method.{name}",
                f"The adapter that goes on has {_shown(is_so)}, which stays.",
                "Take the option away, or start a new adapter.",
                severity="warning",
            )


def _settings(folder: Path) -> dict[str, Any]:
    """What an adapter says of itself; raises AfinaError for one that can't go on learning."""
    settings = read_json(folder, SETTINGS)
    kind = settings.get("peft_type")
    if kind not in KINDS:
        raise AfinaError(
            f'The adapter "{folder}" is of the kind {kind}, which Afina doesn\'t train.',
            f"It goes on with {', '.join(KINDS)}.",
        )
    start = settings.get("init_lora_weights", True)
    if start not in PLAIN_STARTS:
        raise AfinaError(
            f'The adapter "{folder}" began as {start}, which changes the base model too.',
            "Convert it with PEFT's path_initial_model_for_weight_conversion, or merge it there.",
        )
    if not (folder / WEIGHTS).is_file():
        raise AfinaError(f'"{folder}" holds no {WEIGHTS}.', "Save the adapter as safetensors.")
    return settings


def _layers_in(folder: Path) -> list[str]:
    """The layers that an adapter has weights for, by their names in the base model."""
    with open(folder / WEIGHTS, "rb") as file:
        header = msgspec.json.decode(file.read(int.from_bytes(file.read(8), "little")))
    found = (re.match(r"base_model\.model\.(.*)\.(lora_|ia3_)", key) for key in header)
    return sorted({match[1] for match in found if match})


def _method_of(folder: Path, settings: dict[str, Any], method: Method) -> Method:
    """The method of an adapter; what is no property of its weights stays as it was chosen."""
    targets = settings.get("target_modules") or ()
    if isinstance(targets, str) and targets != "all-linear":
        targets = _layers_in(folder)  # it was a pattern
    saved = [name for name in settings.get("modules_to_save") or () if name not in HEADS]
    given: dict[str, Any] = {
        "kind": KINDS[settings["peft_type"]],
        "quantization": method.quantization,
        "dropout": method.dropout,
        "target_modules": targets if isinstance(targets, str) else ",".join(sorted(targets)),
        "modules_to_save": ",".join(sorted(saved)) or None,
    }
    if given["kind"] == "lora":
        given |= {"rank": settings["r"], "alpha": float(settings["lora_alpha"])}
        given |= {name: settings.get(name) or {} for name in ("rank_pattern", "alpha_pattern")}
        given["rslora"] = bool(settings.get("use_rslora"))
        given["dora"] = bool(settings.get("use_dora"))
    elif given["kind"] == "prompt":
        given["num_virtual_tokens"] = settings["num_virtual_tokens"]
        given["target_modules"] = Method().target_modules
    return Method(**given)


def _agree(model: Model, begin: StartPoint) -> None:
    """Raises AfinaError when another base is named than the one that goes on."""
    named, own = model.name_or_path, begin.base
    if not named or named == own:
        return
    same_folder = Path(named).expanduser().resolve() == Path(own).expanduser().resolve()
    in_cache = f"models--{named.replace('/', '--')}" in own  # a hub id, and where it was fetched to
    # what a fully tuned model was trained on: the file of the earlier run, with a word laid over it
    first_base = begin.adapter is None and begin.run is not None and _began_at(begin.run, named)
    if not same_folder and not in_cache and not first_base:
        raise AfinaError(
            f'"{model.continue_from}" is trained on "{own}", and model.name_or_path is "{named}".',
            "Leave model.name_or_path out, or name that one.",
        )


def _began_at(run: Run, named: str) -> bool:
    """Whether a run names this model as its base."""
    own = run.config.model.name_or_path
    return named == own or Path(named).expanduser().resolve() == Path(own).expanduser().resolve()


def _shown(value: Any) -> str:
    return "none" if value in (None, "", {}) else f'"{value}"'
