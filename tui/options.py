"""The configuration as the form draws it: options, their values as text, problems; and back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from core.config import Config, config_io
from core.errors import FieldProblem
from core.figures import exponent
from tui.train.groups import GROUPS, shown
from tui.widgets.form_lines import Group, Option

LABELS = {"model.name_or_path": "model", "data.path": "data", "launch.device": "device"}
SEPARATOR = " | "  # between the entries of a list
NONE = "none"
DIALOGS = ("model.continue_from",)  # their values are chosen in a dialog
ENTRIES = {  # what is written as entries with numbers: one of them, and an example
    "data.mix": ("file with its weight", "Write it as b.jsonl: 0.5, c.jsonl: 2."),
    "method.rank_pattern": ("layer with its rank", "Write it as down_proj: 8, q_proj: 4."),
    "method.alpha_pattern": ("layer with its alpha", "Write it as down_proj: 16, q_proj: 8."),
}
_WEIGHT = re.compile(r"(\S.*?)\s*:\s*([-+.\deE]+)\s*(?:,\s*|$)")  # commas may stand in a name
FIELDS = dict(config_io.fields())


def groups_of(
    config: Config,
    problems: Sequence[FieldProblem],
    drafts: Mapping[str, str],
    hints: Mapping[str, str],
    shape: str = "",
) -> list[Group]:
    """The form. Drafts are texts that are not valid yet; hints replace those of the declaration.

    The shape is that of the rows, as far as it is known.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for problem in problems:
        sentence = f"{problem.message} {problem.hint}".strip()
        found.setdefault(problem.field, []).append((problem.severity, sentence))
    groups = []
    for title, names in GROUPS:
        options = [
            Option(
                name=name,
                label=label_of(name),
                value=drafts.get(name, text_of(value_of(config, name))),
                hint=hints.get(name) or hint_of(name, config),
                choices=choices_of(name),
                own=value_of(config, name) != default_of(name),
                problems=tuple(found.get(name, ())),
                dialog=name in DIALOGS,
            )
            for name in shown(names, config, shape, found)
        ]
        if options:
            groups.append(Group(title, options))
    return groups


def label_of(name: str) -> str:
    return LABELS.get(name) or name.rpartition(".")[2]


def value_of(config: Config, name: str) -> Any:
    group, _, option = name.rpartition(".")
    return getattr(getattr(config, group) if group else config, option)


def default_of(name: str) -> Any:
    field = FIELDS[name]
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def text_of(value: Any) -> str:
    """A value as the form shows it: 2e-4, true, none, a list with | between, "a: 1, b: 2"."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return exponent(value) if 0 < abs(value) < 0.01 else f"{value:g}"
    if isinstance(value, list):
        return SEPARATOR.join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key}: {entry:g}" for key, entry in value.items()) or NONE
    return str(value).replace("\n", "\\n")


def plain_of(name: str, text: str) -> Any:
    """What a text stands for, before it is checked against the option's type."""
    text = text.strip()
    kind = core_type(FIELDS[name].type)
    if get_origin(kind) is list:
        return [entry.strip() for entry in text.split(SEPARATOR.strip()) if entry.strip()]
    if get_origin(kind) is dict:
        return {} if text.lower() in ("", NONE) else _weights(name, text)
    if name == "data.prompt_template":
        text = text.replace("\\n", "\n")
    if optional(FIELDS[name].type) and text.lower() in ("", NONE, "null"):
        return None
    return text


def _weights(name: str, text: str) -> dict[str, str]:
    """ "b.jsonl: 0.5, c.jsonl: 2" by its names; raises ConfigError where an entry can't be read."""
    found: dict[str, str] = {}
    while text:
        entry = _WEIGHT.match(text)
        if entry is None:
            what, example = ENTRIES[name]
            raise _refusal(name, f'"{text}" is no {what}.', example)
        path, weight = entry.groups()
        if path in found:
            raise _refusal(name, f'"{path}" is there twice.', "Give it one number.")
        found[path] = weight
        text = text[entry.end() :]
    return found


def _refusal(name: str, message: str, hint: str) -> config_io.ConfigError:
    return config_io.ConfigError(name, [FieldProblem(name, message, hint)])


def set_text(config: Config, name: str, text: str) -> Config:
    """The configuration with one option set from a text; ConfigError says why it can't be."""
    return set_value(config, name, plain_of(name, text))


def set_value(config: Config, name: str, value: Any) -> Config:
    values = config_io.to_values(config)
    group, _, option = name.rpartition(".")
    (values[group] if group else values)[option] = value
    return config_io.from_values(values, name)


def core_type(kind: Any) -> Any:
    """The type without Annotated and without None."""
    while True:
        origin = get_origin(kind)
        if origin is Annotated:
            kind = get_args(kind)[0]
        elif origin in (Union, UnionType):
            kind = next(part for part in get_args(kind) if part is not type(None))
        else:
            return kind


def optional(kind: Any) -> bool:
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return get_origin(kind) in (Union, UnionType) and type(None) in get_args(kind)


def choices_of(name: str) -> tuple[str, ...]:
    kind = core_type(FIELDS[name].type)
    if kind is bool:
        return ("false", "true")
    return tuple(map(str, get_args(kind))) if get_origin(kind) is Literal else ()


def meta_of(name: str) -> Meta:
    """What the declaration says about an option."""
    return next(part for part in get_args(FIELDS[name].type) if isinstance(part, Meta))


def hint_of(name: str, config: Config) -> str:
    """A few words beside the value: the other choices, its unit, or the usual range."""
    extra = meta_of(name).extra or {}
    choices = choices_of(name)
    if choices and choices != ("false", "true"):
        others = [c for c in choices if c != text_of(value_of(config, name))]
        return "also " + ", ".join(sorted(others, key=len))
    if extra.get("unit"):
        return str(extra["unit"])
    usual = str(extra.get("source", "")).rpartition(": ")[2]
    return usual if usual[:1].isdigit() else ""


def about(name: str) -> tuple[str, str]:
    """The meaning of an option, and its bounds, default and source, as sentences."""
    meta = meta_of(name)
    extra = meta.extra or {}
    facts = [f"Default {text_of(default_of(name)) or 'empty'}."]
    if core_type(FIELDS[name].type) in (int, float):
        facts += _bounds(meta)
    if get_origin(core_type(FIELDS[name].type)) is list:
        facts.append(f'Entries with "{SEPARATOR.strip()}" between.')
    if get_origin(core_type(FIELDS[name].type)) is dict:
        facts.append(ENTRIES[name][1])
    if extra.get("source"):
        facts.append(f"Source: {extra['source']}.")
    return str(meta.description or ""), " ".join(facts)


def _bounds(meta: Meta) -> list[str]:
    low = meta.ge if meta.ge is not None else meta.gt
    high = meta.le if meta.le is not None else meta.lt
    words = (
        [f"above {low:g}" if meta.ge is None else f"at least {low:g}"] if low is not None else []
    )
    if high is not None:
        words.append(f"below {high:g}" if meta.le is None else f"at most {high:g}")
    return [f"{' and '.join(words).capitalize()}."] if words else []
