"""Which of some rows a filter lets through: columns first, content only where it still matters."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from core.data.analysis.query.context import TOKEN_FACTS, QueryContext
from core.data.analysis.query.grammar import (
    CONTENT,
    FLAGS,
    NAMES,
    NUMBERS,
    Both,
    Count,
    Either,
    Fact,
    Literal,
    Node,
    Not,
    Number,
    Test,
)
from core.data.analysis.query.words import error_at
from core.data.analysis.row_facts import SEVERITIES
from core.errors import AfinaError

if TYPE_CHECKING:
    import numpy as np

PATIENCE_S = 1.0  # for one expression on one text
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
Matcher = Callable[[str, int], bool]  # (text, row) -> whether it fits


def evaluate(node: Node, rows: np.ndarray, ground: QueryContext) -> np.ndarray:
    """True for each row that the filter lets through; raises AfinaError, with the column."""
    import numpy as np

    if not len(rows):
        return np.zeros(0, bool)
    if isinstance(node, Not):
        return ~evaluate(node.inner, rows, ground)
    if isinstance(node, Both | Either):
        first, second = node.left, node.right
        if reads_content(first) and not reads_content(second):
            first, second = second, first
        found = evaluate(first, rows, ground)
        undecided = found if isinstance(node, Both) else ~found
        found[undecided] = evaluate(second, rows[undecided], ground)
        return found
    if isinstance(node, Test):
        return _test(node, rows, ground)
    assert isinstance(node, Fact), node
    if node.name == "problems":
        return ground.bits(rows) > 0
    if node.name in FLAGS:
        return ground.flags(node.name, rows)
    return ground.numbers(node.name, rows) > 0


def check(node: Node) -> None:
    """Raises AfinaError, with the column, for what can't be compared."""
    for test in _tests(node):
        _plan(test)


def facts_of(node: Node) -> set[str]:
    """The names of the facts that a filter reads."""
    if isinstance(node, Fact):
        return {node.name}
    return {"problems"} if isinstance(node, Count) else set().union(*map(facts_of, _inner(node)))


def reads_content(node: Node) -> bool:
    return bool(facts_of(node) & {*CONTENT, "role"})


def reads_tokens(node: Node) -> bool:
    return bool(facts_of(node) & set(TOKEN_FACTS))


def _inner(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Not):
        return (node.inner,)
    if isinstance(node, Both | Either):
        return (node.left, node.right)
    return (node.left, *node.right) if isinstance(node, Test) else ()


def _tests(node: Node) -> list[Test]:
    inner = [test for part in _inner(node) for test in _tests(part)]
    return [node, *inner] if isinstance(node, Test) else inner


def _kind(node: Node) -> str:
    """number, quoted, name (a word of a column), content, problems, or flag for true and false."""
    if isinstance(node, Number | Count):
        return "number"
    if isinstance(node, Literal):
        return "quoted"
    if isinstance(node, Fact):
        groups = (("number", NUMBERS), ("name", NAMES), ("content", (*CONTENT, "role")))
        named = (kind for kind, names in groups if node.name in names)
        return next(named, "problems" if node.name == "problems" else "flag")
    return "flag"


def _plan(test: Test) -> str:
    """How a test is done: "numbers", "name", "content" or "problems"."""
    sign, left, rights = test.sign, _kind(test.left), [_kind(item) for item in test.right]
    right = rights[0]
    if sign in ("contains", "matches") and left in ("name", "content", "problems"):
        return left
    if sign == "in" and left == "quoted" and right in ("problems", "content"):
        return right
    wanted = {"number": ("number",), "name": ("quoted", "number"), "content": ("quoted",)}
    if sign in _COMPARE and left == "quoted" and right in ("name", "content"):
        wrong, hint = test.left, "Put the fact on the left."
    else:
        allowed = wanted.get(left, ())
        wrong = next(
            (item for item in test.right if _kind(item) not in allowed), None if allowed else test
        )
        hint = _hint(left)
    if wrong is not None:
        said = f"{_said(left)} can't be compared with {_said(right)} by {sign}."
        raise error_at(wrong.column, said, hint)
    if left == "name" and sign not in ("==", "!=", "in") and test.left.name != "severity":  # type: ignore[attr-defined]
        raise error_at(test.column, f"words can't be compared by {sign}.", "Use ==, != or in.")
    if left == "content" and sign not in ("==", "!=", "in"):
        raise error_at(test.column, f"texts can't be compared by {sign}.", _hint(left))
    return {"number": "numbers"}.get(left, left)


def _said(kind: str) -> str:
    names = {
        **{"number": "a number", "quoted": "a text in quotes", "name": "a word"},
        **{"content": "the content of a row", "problems": "the list of problems"},
    }
    return names.get(kind, "what is true or false")


def _hint(kind: str) -> str:
    return {
        "problems": 'Write "truncated" in problems, or len(problems) > 1.',
        "content": "Write contains 'words' or matches 'expression'.",
        "flag": "It stands alone: duplicate, not duplicate.",
    }.get(kind, "")


def _test(test: Test, rows: np.ndarray, ground: QueryContext) -> np.ndarray:
    import numpy as np

    plan = _plan(test)
    if plan == "numbers":
        left = _numbers(test.left, rows, ground)
        if test.sign == "in":
            values = [_numbers(item, rows, ground) for item in test.right]
            return np.logical_or.reduce([left == value for value in values])
        return _COMPARE[test.sign](left, _numbers(test.right[0], rows, ground))
    if plan == "name":
        return _name(test, rows, ground)
    if plan == "problems":
        return _problems(test, rows, ground)
    return _content(test, rows, ground)


def _numbers(node: Node, rows: np.ndarray, ground: QueryContext) -> Any:
    """A column, or one number."""
    import numpy as np

    if isinstance(node, Number):
        return node.value
    if isinstance(node, Count):
        return np.bitwise_count(ground.bits(rows)).astype("i8")
    assert isinstance(node, Fact)
    return ground.numbers(node.name, rows)


def _name(test: Test, rows: np.ndarray, ground: QueryContext) -> np.ndarray:
    """A fact with few words: each word is tested once."""
    import numpy as np

    assert isinstance(test.left, Fact)
    name = test.left.name
    words = ground.words(name)
    wanted = [_word(item) for item in test.right]
    if name == "severity" and test.sign in _COMPARE:
        if wanted[0] not in SEVERITIES:
            raise error_at(test.right[0].column, f'there is no severity "{wanted[0]}".', _RANKS)
        ranks = range(len(words))
        fits = [_COMPARE[test.sign](rank, SEVERITIES.index(wanted[0])) for rank in ranks]
    elif test.sign in ("==", "in"):
        fits = [word in wanted for word in words]
    elif test.sign == "!=":
        fits = [word != wanted[0] for word in words]
    else:
        matches = _matcher(test)
        fits = [matches(word, -1) for word in words]
    return np.array(fits)[ground.codes(name, rows)]


_RANKS = "In rising order: note, warning, error."


def _word(node: Node) -> str:
    if isinstance(node, Number):
        return f"{node.value:g}" if node.value % 1 else str(int(node.value))
    return node.value if isinstance(node, Literal) else ""


def _problems(test: Test, rows: np.ndarray, ground: QueryContext) -> np.ndarray:
    import numpy as np

    checks = ground.facts.checks
    if test.sign == "in":
        assert isinstance(test.left, Literal)
        names = [name for name in checks if name == test.left.value]
    else:
        matches = _matcher(test)
        names = [name for name in checks if matches(name, -1)]
    mask = sum(1 << checks.index(name) for name in names)
    return (ground.bits(rows) & np.uint64(mask)) > 0


def _content(test: Test, rows: np.ndarray, ground: QueryContext) -> np.ndarray:
    import numpy as np

    if test.sign in ("==", "!=", "in") and isinstance(test.left, Fact):
        wanted, other = {_word(item) for item in test.right}, test.sign == "!="
        matches: Matcher = lambda text, row: (text in wanted) != other  # noqa: E731 - as _matcher's
    else:
        matches = _matcher(test)
    fact = test.left if isinstance(test.left, Fact) else test.right[0]
    assert isinstance(fact, Fact)
    if fact.name == "role":
        found = (
            any(matches(text, row) for text in ground.role(row, fact.argument))
            for row in rows.tolist()
        )
    else:
        read = ground.text if fact.name == "text" else ground.raw
        found = (matches(read(row), row) for row in rows.tolist())
    return np.fromiter(found, bool, len(rows))


def _matcher(test: Test) -> Matcher:
    """What "contains", "matches" or "in" does with one text; case matters to "matches" only."""
    if test.sign == "matches":
        wanted = test.right[0]
        assert isinstance(wanted, Literal)
        return expression(wanted.pattern, wanted.column)
    quoted = test.left if test.sign == "in" else test.right[0]
    assert isinstance(quoted, Literal)
    needle = quoted.value.casefold()
    return lambda text, row: needle in text.casefold()


def expression(pattern: str, column: int = 0) -> Matcher:
    """A regular expression that gives up on a text it would be busy with for seconds."""
    import regex

    try:
        compiled = regex.compile(pattern)
    except regex.error as error:
        said = f"not a regular expression: {error}."
        if column:
            raise error_at(column, said) from error
        raise AfinaError(f'"{pattern}" is {said}') from error

    def matches(text: str, row: int) -> bool:
        try:
            # concurrent: others may work meanwhile, also for texts that it is busy with
            return compiled.search(text, timeout=PATIENCE_S, concurrent=True) is not None
        except TimeoutError:
            place = f" on row {row + 1:,}" if row >= 0 else ""
            raise AfinaError(
                f"The expression takes longer than {PATIENCE_S:g} s{place}.",
                "Write it without one repetition inside another, such as (a+)+.",
            ) from None

    return matches
