"""A filter as a tree: `tokens > 2000 and "truncated" in problems`.

    either     = both ("or" both)*
    both       = unary ("and" unary)*
    unary      = "not" unary | test
    test       = operand (("==" | "!=" | "<" | "<=" | ">" | ">=") operand
                          | ["not"] "in" (operand | "(" operand ("," operand)* ")")
                          | ["not"] ("contains" | "matches") text)?
    operand    = number | text | fact | "role" "(" text ")" | "len" "(" "problems" ")"
               | "(" either ")"

A small language of our own: nothing of it is run as code. Every error names its column.
"""

from __future__ import annotations

from typing import NoReturn

import msgspec

from core.data.analysis.query.words import Word, error_at, literal, pattern, split_words
from core.errors import AfinaError, nearest

NUMBERS = ("row", "line", "bytes", "turns", "tokens", "supervised", "truncated")
NAMES = ("severity", "label", "language", "script", "file")
FLAGS = ("marked", "edited", "dropped", "duplicate")
CONTENT = ("text", "raw")
FACTS = (*NUMBERS, *NAMES, *FLAGS, "problems", *CONTENT)
FUNCTIONS = ("role", "len")
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_DEEPEST = 64  # levels of brackets and nots


class Node(msgspec.Struct, frozen=True):
    """A part of a filter, with the column where it begins."""

    column: int


class Number(Node, frozen=True):
    value: float


class Literal(Node, frozen=True):
    value: str
    pattern: str  # the same for "matches": backslashes as they stand


class Fact(Node, frozen=True):
    """A fact of a row; `argument` is the role of role('...')."""

    name: str
    argument: str = ""


class Count(Node, frozen=True):
    """len(problems)"""


class Not(Node, frozen=True):
    inner: Node


class Both(Node, frozen=True):
    left: Node
    right: Node


class Either(Node, frozen=True):
    left: Node
    right: Node


class Test(Node, frozen=True):
    """A comparison; `sign` is one of COMPARISONS, "in", "contains" or "matches"."""

    sign: str
    left: Node
    right: tuple[Node, ...]  # several only behind "in"


def parse(text: str) -> Node:
    """The tree of a filter; raises AfinaError that names the column of what is wrong."""
    return _Parser(split_words(text)).whole()


class _Parser:
    def __init__(self, words: list[Word]) -> None:
        self._words = words
        self._place = self._depth = 0

    def whole(self) -> Node:
        if self._next.kind == "end":
            raise AfinaError("The filter is empty.", "For example: tokens > 2000")
        node = self._either()
        if self._next.kind != "end":
            self._refuse("and, or, or the end")
        return node

    @property
    def _next(self) -> Word:
        return self._words[self._place]

    def _take(self) -> Word:
        word = self._next
        self._place += word.kind != "end"
        return word

    def _is(self, *texts: str) -> bool:
        return self._next.kind in ("keyword", "sign") and self._next.text in texts

    def _expect(self, text: str) -> Word:
        if not self._is(text):
            self._refuse(f'"{text}"')
        return self._take()

    def _refuse(self, expected: str) -> NoReturn:
        word = self._next
        raise error_at(word.column, f"found {word}, expected {expected}.")

    def _either(self) -> Node:
        node = self._both()
        while self._is("or"):
            self._take()
            node = Either(node.column, node, self._both())
        return node

    def _both(self) -> Node:
        node = self._unary()
        while self._is("and"):
            self._take()
            node = Both(node.column, node, self._unary())
        return node

    def _unary(self) -> Node:
        if not self._is("not"):
            return self._test()
        word = self._take()
        self._deepen(word)
        node = Not(word.column, self._unary())
        self._depth -= 1
        return node

    def _deepen(self, word: Word) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise error_at(word.column, f"more than {_DEEPEST} levels of brackets.")

    def _test(self) -> Node:
        left = self._operand()
        if self._next.kind == "sign" and self._next.text in COMPARISONS:
            sign = self._take().text
            return Test(left.column, sign, left, (self._operand(),))
        negated = False
        if self._is("not"):
            negated = True
            self._take()
        if self._is("in"):
            self._take()
            node: Node = Test(left.column, "in", left, self._several())
        elif self._is("contains", "matches"):
            sign = self._take().text
            if self._next.kind != "text":
                self._refuse("a text in quotes")
            node = Test(left.column, sign, left, (self._operand(),))
        elif negated:
            self._refuse('"in", "contains" or "matches" behind "not"')
        else:
            if isinstance(left, Number | Literal) or not _is_truth(left):
                self._refuse("a comparison, such as == or contains")
            return left
        return Not(left.column, node) if negated else node

    def _several(self) -> tuple[Node, ...]:
        if not self._is("("):
            return (self._operand(),)
        self._take()
        found = [self._operand()]
        while self._is(","):
            self._take()
            found.append(self._operand())
        self._expect(")")
        return tuple(found)

    def _operand(self) -> Node:
        word = self._next
        if word.kind == "number":
            self._take()
            return Number(word.column, float(word.text.replace("_", "")))
        if word.kind == "text":
            self._take()
            return Literal(word.column, literal(word), pattern(word))
        if word.kind == "name":
            return self._fact()
        if self._is("("):
            self._take()
            self._deepen(word)
            node = self._either()
            self._depth -= 1
            self._expect(")")
            return node
        self._refuse("a fact, a number or a text in quotes")

    def _fact(self) -> Node:
        word = self._take()
        if word.text in FUNCTIONS:
            self._expect("(")
            if word.text == "len":
                if self._next.text != "problems":
                    self._refuse("problems")
                self._take()
                node: Node = Count(word.column)
            else:
                if self._next.kind != "text":
                    self._refuse("a role in quotes, such as 'system'")
                node = Fact(word.column, "role", literal(self._take()))
            self._expect(")")
            return node
        if word.text not in FACTS:
            known = ", ".join((*FACTS, "role('...')", "len(problems)"))
            near = nearest(word.text, (*FACTS, *FUNCTIONS))
            hint = f"{near} Facts: {known}.".lstrip()
            raise error_at(word.column, f'there is no fact "{word.text}".', hint)
        return Fact(word.column, word.text)


def _is_truth(node: Node) -> bool:
    """Whether a node is true or false by itself."""
    if isinstance(node, Fact):
        return node.name in (*FLAGS, "problems") or node.name in NUMBERS[3:]
    return isinstance(node, Not | Both | Either | Test)
