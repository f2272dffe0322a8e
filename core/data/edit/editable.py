"""A row as text for an editor, and back: YAML that reads well, JSON where YAML is not exact.

The YAML is YAML 1.2's JSON schema: only true, false, null and numbers are no text, so that an
answer `no` stays a text (in YAML 1.1 it is false). Keys are always text.
"""

from __future__ import annotations

import json
import math
import re
from functools import cache
from typing import Any

from core.errors import AfinaError

YAML_CHARACTERS = 1 << 20  # a longer row is shown as JSON: YAML takes seconds for it
_NUMBER = r"-?(?:0|[1-9][0-9]*)"
# As written by json.dumps and read by json.loads: an int never has a point or an exponent.
_RESOLVED = (
    ("tag:yaml.org,2002:null", re.compile(r"null"), "n"),
    ("tag:yaml.org,2002:bool", re.compile(r"true|false"), "tf"),
    ("tag:yaml.org,2002:int", re.compile(_NUMBER), "-0123456789"),
    (
        "tag:yaml.org,2002:float",
        re.compile(_NUMBER + r"(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|NaN|-?Infinity"),
        "-0123456789NI",
    ),
)


def dump_row(value: Any) -> str:
    """The text of a row, ending in a newline; `parse_row` gives the very same value back.

    Raises AfinaError for a value nested too deeply to be written.
    """
    try:
        as_json = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
        if len(as_json) > YAML_CHARACTERS:
            return as_json
        as_yaml = _dump_yaml(value)
        if as_yaml is not None and _is_exact(as_yaml, value):
            return as_yaml
        # a text alone is read as YAML, which folds line ends of its own, as U+0085
        plain = not isinstance(value, str) or _is_exact(as_json, value)
        return as_json if plain else json.dumps(value) + "\n"
    except RecursionError as error:
        raise AfinaError("The row is nested too deeply to be edited.") from error


def parse_row(text: str) -> Any:
    """The value of a text, YAML or JSON; raises AfinaError with line and column where it breaks."""
    try:
        if text.lstrip()[:1] in ("{", "["):
            try:
                return json.loads(text, object_pairs_hook=_without_doubles)
            except json.JSONDecodeError as error:
                place = f"line {error.lineno}, column {error.colno}"
                raise AfinaError(f"The text is not JSON at {place}: {error.msg}.") from error
        return _parse_yaml(text)
    except RecursionError as error:
        raise AfinaError("The text is nested too deeply to be read.") from error
    except ValueError as error:  # a number of more digits than Python reads
        raise AfinaError(f"The text holds a number that can't be read: {error}.") from error


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal, type by type: 1, 1.0 and true are three values."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        equal = one == other and math.copysign(1, one) == math.copysign(1, other)
        return equal or (math.isnan(one) and math.isnan(other))
    return one == other


def _is_exact(text: str, value: Any) -> bool:
    try:
        return same(parse_row(text), value)
    except AfinaError:
        return False


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        double = next(key for key in keys if keys.count(key) > 1)
        raise AfinaError(f'The key "{double}" stands twice in one object.', "Remove one of them.")
    return value


def _dump_yaml(value: Any) -> str | None:
    """The value as YAML; None where YAML can't write it."""
    import yaml

    dumper, _ = _classes()
    try:
        return yaml.dump(
            value,
            Dumper=dumper,
            allow_unicode=True,
            sort_keys=False,
            default_flow_style=False,
            width=math.inf,
        )
    except (yaml.YAMLError, ValueError):
        return None


def _parse_yaml(text: str) -> Any:
    import yaml

    _, loader = _classes()
    try:
        return yaml.load(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "its beginning"
        words = error.problem or error.context or "it can't be read"
        raise AfinaError(f"The text is not YAML at {place}: {words}.") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        raise AfinaError(
            f"The text has a character that YAML does not take, U+{int(error.character):04X}, "
            f"at line {line}, column {column}.",
            'Write it as "\\u....", in double quotes.',
        ) from error
    except yaml.YAMLError as error:
        raise AfinaError(f"The text is not YAML: {error}.") from error


@cache
def _classes() -> tuple[type, type]:
    """YAML's dumper and loader with the schema of JSON."""
    import yaml
    from yaml.composer import ComposerError

    class Dumper(yaml.SafeDumper):
        yaml_implicit_resolvers: dict[Any, Any] = {}

        def ignore_aliases(self, data: Any) -> bool:
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)  # lists are indented below their key

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers: dict[Any, Any] = {}

        def compose_node(self, parent: Any, index: Any) -> Any:
            # An alias can make a text of a few lines a value of gigabytes.
            if self.check_event(yaml.AliasEvent):
                mark = self.peek_event().start_mark
                words = 'a word that begins with "*" stands for another value; put it in quotes'
                raise ComposerError(None, None, words, mark)
            return super().compose_node(parent, index)

    for tag, pattern, first in _RESOLVED:
        whole = re.compile(rf"(?:{pattern.pattern})\Z")
        Dumper.add_implicit_resolver(tag, whole, list(first))
        Loader.add_implicit_resolver(tag, whole, list(first))
    Dumper.add_representer(str, _represent_text)
    Dumper.add_representer(float, _represent_float)
    Loader.add_constructor("tag:yaml.org,2002:map", _construct_map)
    for tag, read in (("int", int), ("float", _read_float), ("bool", "true".__eq__)):
        Loader.add_constructor(f"tag:yaml.org,2002:{tag}", _scalar(read))
    return Dumper, Loader


def _represent_text(dumper: Any, text: str) -> Any:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _represent_float(dumper: Any, number: float) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:float", json.dumps(number))


def _read_float(text: str) -> float:
    return float(text.replace("Infinity", "inf"))


def _scalar(read: Any) -> Any:
    return lambda loader, node: read(loader.construct_scalar(node))


def _construct_map(loader: Any, node: Any) -> Any:
    """A mapping as YAML builds it, in two steps; its keys are the texts that stand there."""
    import yaml

    value: dict[str, Any] = {}
    yield value
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(
                None, None, "a key is a text, not a list or an object", key_node.start_mark
            )
        key = key_node.value
        if key in value:
            words = f'the key "{key}" stands twice in one object'
            raise yaml.constructor.ConstructorError(None, None, words, key_node.start_mark)
        value[key] = loader.construct_object(value_node, deep=True)
