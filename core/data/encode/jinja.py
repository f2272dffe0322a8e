"""The Jinja environment of chat templates: sandboxed, transformers' settings, generation markers.

Source: transformers 5.23, utils/chat_template_utils.py, `_cached_compile_jinja_template`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from threading import RLock
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace


class GenerationTracker(Extension):
    """{% generation %} ... {% endgeneration %}: notes each block and where it begins."""

    tags = {"generation"}

    def __init__(self, environment: jinja2.Environment) -> None:
        super().__init__(environment)
        self._length = 0  # characters that the template has yielded so far
        self._spans: list[tuple[int, str]] = []
        self.alone = RLock()  # a streamed run encodes in one thread and asks prompts in another

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_note"), [], [], body).set_lineno(line)

    def _note(self, caller: Any) -> str:
        block = caller()
        self._spans.append((self._length, block))
        return block

    def follow(self, blocks: Iterable[str]) -> tuple[str, list[tuple[int, str]]]:
        """The text of a template's blocks, and (start, block) of every generation block in it."""
        with self.alone:
            self._length, self._spans = 0, []
            parts = []
            for block in blocks:
                parts.append(block)
                self._length += len(block)
            return "".join(parts), self._spans


class _Dict:
    """`dict` for templates, without the class behind it."""

    def __call__(self, *args: Any, **fields: Any) -> dict[Any, Any]:
        return dict(*args, **fields)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class Namespaced(Namespace):
    """`namespace` for templates, without names that begin with an underscore."""

    def __init__(
        *args: Any, **fields: Any
    ) -> None:  # no named self, so that namespace(self=...) works
        for name in dict(*args[1:], **fields):
            _refuse_private(name)
        Namespace.__init__(*args, **fields)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_private(name)
        super().__setitem__(name, value)


def _refuse_private(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f'A template can\'t store the name "{name}".')


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON without HTML escapes, unlike Jinja's own filter."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _strftime_now(format: str) -> str:
    return datetime.now().strftime(format)


@lru_cache(maxsize=8)
def compile_template(source: str) -> tuple[jinja2.Template, GenerationTracker]:
    """A compiled template with the tracker of its environment, which lets one thread in."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    tracker = equip(environment)
    return environment.from_string(source), tracker


def equip(environment: jinja2.Environment) -> GenerationTracker:
    """Gives an environment what chat templates may use; returns its tracker."""
    environment.add_extension(GenerationTracker)
    environment.add_extension(loopcontrols)
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = _strftime_now
    environment.globals["dict"] = _Dict()
    environment.globals["namespace"] = Namespaced
    tracker = environment.extensions[GenerationTracker.identifier]
    assert isinstance(tracker, GenerationTracker)
    return tracker
