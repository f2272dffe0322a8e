"""Renders a chat template with holes in the place of contents, and sees what it does with them.

A template that only writes the contents down gives the same text around them for every row of the
same structure. What it looks at on the way (does the text hold "</think>"?) is taken as no and kept
as a condition; anything else that depends on a content raises NotFollowed, and the row is rendered.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

import jinja2
import msgspec
from jinja2 import nodes
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from core.data.encode.jinja import GenerationTracker, Namespaced, equip

# A hole is OPEN, the number of its message, CLOSE: characters that are no text in Unicode.
OPEN, CLOSE = "\U0010fffe", "\U0010ffff"
_MEMBERS = ("length", "count", "first", "last", "list", "reverse")  # filters that only see a list
_TYPES = {"string": True, "iterable": True, "sequence": True, "defined": True} | dict.fromkeys(
    ("mapping", "number", "integer", "float", "boolean", "none", "undefined", "true", "false"),
    False,
)
_JINJAS_OWN = ("_loop_vars", "_block_vars")  # what it hands to every call besides its arguments
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
}


class NotFollowed(Exception):
    """The template does something with a content that holes can't answer for."""


class Condition(msgspec.Struct, frozen=True):
    """What a content must not be for the text around it to stay the same."""

    message: int
    kind: str  # "in", "eq", "startswith" or "endswith"
    word: str

    def holds(self, content: str) -> bool:
        if self.kind == "in":
            return self.word not in content
        if self.kind == "eq":
            return self.word != content
        ends = content.startswith if self.kind == "startswith" else content.endswith
        return not ends(self.word)


class Seen(msgspec.Struct):
    """What a rendering depended on besides the structure of the conversation."""

    stripped: frozenset[int]  # messages whose content has no white space around it
    conditions: set[Condition] = msgspec.field(default_factory=set)
    clock: set[tuple[str, str]] = msgspec.field(default_factory=set)  # (format, what it gave)


class Hole(str):
    """Text with holes in it: may be written down and joined; whoever looks closer is refused."""

    seen: Seen

    def __new__(cls, text: str, seen: Seen) -> Hole:
        hole = super().__new__(cls, text)
        hole.seen = seen
        return hole

    def __str__(self) -> str:
        return self  # not a copy that nobody would follow

    def __bool__(self) -> bool:
        return True  # an empty content is no hole

    def __add__(self, other: str) -> Hole:
        return Hole(str.__add__(self, other), self.seen)

    def strip(self, chars: str | None = None) -> Hole:  # type: ignore[override]
        return self._trimmed(str.strip, chars)

    def lstrip(self, chars: str | None = None) -> Hole:  # type: ignore[override]
        return self._trimmed(str.lstrip, chars)

    def rstrip(self, chars: str | None = None) -> Hole:  # type: ignore[override]
        return self._trimmed(str.rstrip, chars)

    def startswith(self, word: Any, *places: Any) -> bool:  # type: ignore[override]
        return self.ask("startswith", word, *places)

    def endswith(self, word: Any, *places: Any) -> bool:  # type: ignore[override]
        return self.ask("endswith", word, *places)

    def _trimmed(self, trim: Callable[..., str], chars: str | None) -> Hole:
        """White space alone, of contents that have none at their ends: the holes stay whole."""
        numbers = {int(part.split(CLOSE)[0]) for part in str.split(self, OPEN)[1:]}
        if (chars is None or chars.isspace()) and numbers <= self.seen.stripped:
            return Hole(trim(self, chars), self.seen)
        raise NotFollowed

    def ask(self, kind: str, word: Any, *places: Any) -> bool:
        """Whether the content has this word: no, on condition."""
        body = str.removesuffix(str.removeprefix(self, OPEN), CLOSE)
        if places or type(word) is not str or not word or OPEN in word or not body.isdecimal():
            raise NotFollowed
        self.seen.conditions.add(Condition(int(body), kind, word))
        return False


def _refuse(*args: Any, **fields: Any) -> NoReturn:
    raise NotFollowed


for _name in set(vars(str)) - set(vars(Hole)) - {"__len__", "__getattribute__"}:
    if callable(getattr(str, _name)):
        setattr(Hole, _name, _refuse)


def _open(value: object) -> bool:
    """Whether there is a hole in a value, or in what it is made of."""
    if isinstance(value, str):
        return str.__contains__(value, OPEN)
    if isinstance(value, dict):
        return any(map(_open, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_open, value))
    return not isinstance(value, bool | int | float | None | jinja2.Undefined | range)


class _Operators(NodeTransformer):
    """Writes `~` and comparisons as filters, so that they can be followed."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _filter("followed_join", node.nodes[0], node.nodes[1:], node)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        if len(node.ops) != 1:
            raise NotFollowed
        other = node.ops[0]
        words = [nodes.Const(other.op), other.expr]
        return _filter("followed_compare", node.expr, words, node)


def _filter(name: str, value: Any, words: Any, node: nodes.Node) -> nodes.Filter:
    return nodes.Filter(value, name, words, [], None, None, lineno=node.lineno)


class _Following(ImmutableSandboxedEnvironment):
    """The environment of chat templates, where each step that meets a hole is looked at."""

    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    seen: Seen  # of the rendering at hand

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if isinstance(left, str) and isinstance(right, str) and (_open(left) or _open(right)):
            if operator != "+":
                raise NotFollowed
            return self.join((left, right))
        if operator != "+" and (_open(left) or _open(right)):
            raise NotFollowed
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Any, __obj: Any, *args: Any, **fields: Any) -> Any:  # noqa: B902
        owner = getattr(__obj, "__self__", None)
        known = isinstance(__obj, Macro) or __obj is Namespaced
        given = [value for name, value in fields.items() if name not in _JINJAS_OWN]
        if not known and not isinstance(owner, Hole | GenerationTracker) and _open((args, given)):
            raise NotFollowed
        return super().call(__context, __obj, *args, **fields)

    def join(self, parts: Iterable[Any]) -> str:
        text = "".join(map(str, parts))
        return Hole(text, self.seen) if OPEN in text else text

    def watch(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """A filter or test that doesn't get to see holes, but for those that can't tell them."""
        if getattr(work, "jinja_pass_arg", None) is not None:
            # its first argument is Jinja's own; what it does with the others is not followed
            def passing(first: Any, *args: Any, **fields: Any) -> Any:
                listed = bool(args) and not isinstance(args[0], str)
                by_role = name in ("selectattr", "rejectattr") and args[1:2] == ("role",)
                blind = listed and (by_role or name in _MEMBERS)
                if _open((args[1:] if blind else args, fields)):
                    raise NotFollowed
                return work(first, *args, **fields)

            passing.jinja_pass_arg = work.jinja_pass_arg  # type: ignore[attr-defined]
            return passing

        def watched(value: Any, *args: Any, **fields: Any) -> Any:
            hole, others = isinstance(value, str) and _open(value), _open((args, fields))
            if name == "trim" and hole and not (args or fields):
                return Hole(value, self.seen).strip()
            if name in ("default", "d", "string") and (not others or not hole):
                return work(value, *args, **fields)
            if name in _MEMBERS and not hole and not others:
                return work(value)
            if hole or others or _open(value):
                raise NotFollowed
            return work(value, *args, **fields)

        return watched

    def compare(self, left: Any, kind: str, right: Any) -> bool:
        if kind in ("in", "notin"):
            return self._contains(left, right) == (kind == "in")
        if kind in ("eq", "ne"):
            for one, other in ((left, right), (right, left)):
                if isinstance(one, str) and _open(one):
                    same = isinstance(other, str) and Hole(one, self.seen).ask("eq", other)
                    return same == (kind == "eq")  # text equals nothing that is no text
        return _COMPARE[kind](left, right)  # a Hole refuses whatever asks it

    def _contains(self, word: Any, whole: Any) -> bool:
        if isinstance(whole, str) and _open(whole):
            return Hole(whole, self.seen).ask("in", word)
        if isinstance(whole, dict) and not _open(word):
            return word in whole
        if _open(word) or _open(whole):
            raise NotFollowed
        return word in whole


def _test(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    def tested(value: Any, *args: Any) -> Any:
        if isinstance(value, str) and _open(value):
            if args or name not in _TYPES:
                raise NotFollowed
            return _TYPES[name]
        if name not in _TYPES and (_open(value) or _open(args)):
            raise NotFollowed
        return work(value, *args)

    return tested


@lru_cache(maxsize=8)
def following(source: str) -> tuple[jinja2.Template, GenerationTracker, _Following]:
    """A template that is followed; raises NotFollowed for one with words that can't be."""
    environment = _Following(trim_blocks=True, lstrip_blocks=True)
    tracker = equip(environment)
    environment.concat = environment.join  # type: ignore[method-assign]
    for name, work in list(environment.filters.items()):
        environment.filters[name] = environment.watch(name, work)
    for name, work in list(environment.tests.items()):
        if getattr(work, "jinja_pass_arg", None) is None:
            environment.tests[name] = _test(name, work)
        else:
            environment.tests[name] = _refuse
    environment.filters["followed_join"] = lambda *parts: environment.join(parts)
    environment.filters["followed_compare"] = environment.compare

    def strftime_now(format: str) -> str:
        shown = datetime.now().strftime(format)
        environment.seen.clock.add((format, shown))
        return shown

    environment.globals["strftime_now"] = strftime_now
    tree = _Operators().visit(environment.parse(source))
    return environment.from_string(tree), tracker, environment
