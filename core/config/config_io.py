"""Reading a configuration from YAML and `key=value` words, and writing it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
import yaml

from core.config import Config
from core.errors import AfinaError, FieldProblem, nearest


class ConfigError(AfinaError):
    """A configuration that can't be read; carries every problem that was found."""

    def __init__(self, where: str, problems: list[FieldProblem]) -> None:
        super().__init__(f"{where}: " + "; ".join(str(problem) for problem in problems))
        self.problems = problems


def load(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """The configuration in a YAML file, with `group.key=value` words laid over it."""
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise AfinaError(
            f'Can\'t read the configuration "{path}": {reason}.', "Give a YAML file."
        ) from error
    return parse(text, overrides, where=str(path))


def parse(text: str, overrides: Sequence[str] = (), where: str = "configuration") -> Config:
    """The configuration in a YAML text. Raises ConfigError with all problems at once."""
    try:
        values = yaml.load(text, Loader=_StrictLoader) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        raise AfinaError(
            f"{where}{line} is not YAML: {getattr(error, 'problem', None) or error}.",
            "Mend that line.",
        ) from error
    if not isinstance(values, dict):
        raise AfinaError(f"{where} holds no groups.", "Start with `model:` and `data:`.")
    for word in overrides:
        _override(values, word)
    return from_values(values, where)


def from_values(values: dict[str, Any], where: str = "configuration") -> Config:
    """A configuration from plain nested values."""
    values = {
        key: {} if value is None and key in _groups() else value for key, value in values.items()
    }
    values = _without_empty_collections(values)
    found = list(_unknown_keys(values))
    if not found:
        found = list(_type_problems(values))
    if found:
        raise ConfigError(where, found)
    return msgspec.convert(values, Config, strict=False)


def to_values(config: Config) -> dict[str, Any]:
    """Plain nested values, in the order of the structs."""
    return msgspec.to_builtins(config)


def to_yaml(config: Config) -> str:
    """The whole configuration as YAML, every default written out."""
    return yaml.safe_dump(to_values(config), sort_keys=False, allow_unicode=True, width=100)


def fields() -> Iterator[tuple[str, msgspec.structs.FieldInfo]]:
    """Every option as (dotted name, field), in order: what the form and docs are drawn from."""
    for field in msgspec.structs.fields(Config):
        if field.name in _groups():
            for inner in msgspec.structs.fields(_groups()[field.name]):
                yield f"{field.name}.{inner.name}", inner
        else:
            yield field.name, field


def _groups() -> dict[str, type[msgspec.Struct]]:
    return {
        field.name: field.type
        for field in msgspec.structs.fields(Config)
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
    }


def _override(values: dict[str, Any], word: str) -> None:
    key, sign, text = word.partition("=")
    if not sign or not key:
        raise AfinaError(f'"{word}" is not an override.', "Write it as group.key=value.")
    *groups, name = key.split(".")
    inner = values
    for group in groups:
        if inner.get(group) is None:
            inner[group] = {}
        inner = inner[group]
        if not isinstance(inner, dict):
            raise AfinaError(
                f'"{group}" in "{word}" is not a group.', "Write it as group.key=value."
            )
    try:
        inner[name] = yaml.load(text, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        raise AfinaError(
            f'"{text}" in "{word}" is not a YAML value.', "Put it in quotes."
        ) from error


def _without_empty_collections(values: dict[str, Any]) -> dict[str, Any]:
    """The values without null for a list or a mapping, as `watch_prompts:` with nothing behind."""
    kept = {key: dict(value) if isinstance(value, dict) else value for key, value in values.items()}
    for name, field in fields():
        group, _, key = name.rpartition(".")
        holder = kept.get(group) if group else kept
        if not isinstance(holder, dict) or key not in holder or holder[key] is not None:
            continue
        if get_origin(_plain(field.type)) in (list, dict):
            del holder[key]
    return kept


def _unknown_keys(values: dict[str, Any]) -> Iterator[FieldProblem]:
    names = [name for name, _ in fields()]
    for key, value in values.items():
        group = _groups().get(key)
        if group is None and key not in names:
            yield FieldProblem(str(key), "There is no such option.", _nearest_option(str(key)))
        elif group is not None and not isinstance(value, dict):
            yield FieldProblem(
                key, f'This is a group of options, not "{value}".', f"Write {key}.NAME."
            )
        elif group is not None:
            known = {field.name for field in msgspec.structs.fields(group)}
            for name in value.keys() - known:
                yield FieldProblem(
                    f"{key}.{name}",
                    "There is no such option.",
                    _nearest_option(f"{key}.{name}"),
                )


def _nearest_option(key: str) -> str:
    names = [name for name, _ in fields()]
    last = key.rpartition(".")[2]
    elsewhere = [name for name in names if name.rpartition(".")[2] == last]
    if elsewhere:
        return f'Did you mean "{elsewhere[0]}"?'
    group, _, last = key.rpartition(".")
    known = [name.rpartition(".")[2] for name in names if name.startswith(f"{group}.")]
    if group not in _groups():
        return nearest(key, [*_groups(), *names]) or f"There are: {', '.join(_groups())}."
    by_initials = {_initials(name): name for name in known}
    if close := by_initials.get(last) or next(iter(get_close_matches(last, known, n=1)), None):
        return f'Did you mean "{group}.{close}"?'
    return f"There are: {', '.join(known)}."


def _initials(name: str) -> str:
    """lr of learning_rate."""
    return "".join(word[0] for word in name.split("_"))


def _type_problems(values: dict[str, Any]) -> Iterator[FieldProblem]:
    for name, field in fields():
        group, _, key = name.rpartition(".")
        holder = values.get(group, {}) if group else values
        if key not in holder:
            continue
        value = holder[key]
        try:
            msgspec.convert(value, field.type, strict=False)
        except msgspec.ValidationError as error:
            choices = _choices(field.type)
            if choices and isinstance(value, str):
                hint = nearest(value, choices) or f"It is one of {', '.join(choices)}."
                yield FieldProblem(name, f'There is no "{value}" here.', hint)
                continue
            given = "Nothing" if value is None else f'"{value}"'
            way = f"Write {name}='{{NAME: VALUE}}'." if _is_mapping(field.type) else ""
            yield FieldProblem(name, f"{given} is not valid: {_reason(error)}.", way)


def _plain(kind: Any) -> Any:
    """A type without what is said about it."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _choices(kind: Any) -> tuple[str, ...]:
    """The words that an option takes; none where it takes others too."""
    kind = _plain(kind)
    return get_args(kind) if get_origin(kind) is Literal else ()


def _is_mapping(kind: Any) -> bool:
    return get_origin(_plain(kind)) is dict


_TYPE_WORDS = {"float": "a number", "int": "a whole number", "str": "text", "bool": "true or false"}
_TYPE_WORDS |= {"array": "a list", "object": "a group", "null": "nothing"}


def _reason(error: msgspec.ValidationError) -> str:
    """msgspec's words with types as people call them: "expected a number, got text"."""
    text = str(error).split(" - at ")[0].replace(" | ", " or ")
    for name, words in _TYPE_WORDS.items():
        text = re.sub(rf"`((?:[^`]* or )?){name}((?: or [^`]*)?)`", rf"`\1{words}\2`", text)
    return text[0].lower() + text[1:].replace("`", "")


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a key written twice is an error, not a silent loss of the first."""


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for index, key in enumerate(keys):
        if key in keys[:index]:
            raise yaml.constructor.ConstructorError(
                None,
                None,
                f'the key "{key}" is there twice',
                node.value[index][0].start_mark,
            )
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
# YAML 1.1 reads `on` and `off` as true and false; here they are values of options, as in YAML 1.2
_StrictLoader.yaml_implicit_resolvers = {
    letter: [pair for pair in pairs if letter not in "oO" or pair[0] != "tag:yaml.org,2002:bool"]
    for letter, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
