"""Writing a filter: the words it can have, what comes next, and where it is wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from core.errors import AfinaError

EXAMPLES = (
    ("tokens > 2000", "long rows"),
    ('"truncated" in problems', "rows that are cut"),
    ("severity == 'error'", "rows that can't be used"),
    ("turns >= 3 and tokens < 500", "long talks in few tokens"),
    ("role('system') contains 'travel'", "words of one role"),
    ("not text contains 'please'", "words that no turn has"),
    ("supervised == 0 or turns == 1", "nothing to learn"),
    ("edited or marked", "what you have touched"),
)
NUMBERS = {
    "row": "its number, from 1",
    "line": "its line in the file",
    "bytes": "its size",
    "turns": "its messages",
    "tokens": "before the cut at max_length",
    "supervised": "tokens that count in the loss",
    "truncated": "tokens beyond max_length",
}
WORDS = {
    "file": "the file it stands in",
    "severity": "'error', 'warning', 'note' or ''",
    "label": "its class",
    "language": "'en', 'es', ...",
    "script": "'Latin', 'Cyrillic', ...",
    "text": "all that it says",
    "raw": "the row as the file has it",
    "role('user')": "what one role says",
}
LISTS = {"problems": "names of checks"}
FLAGS = {
    "marked": "marked with space",
    "edited": "edited, not written yet",
    "dropped": "dropped, not written yet",
    "duplicate": "says what another row says",
}
BEGINS = {**NUMBERS, **WORDS, **FLAGS, **LISTS, "not": "what follows is false"}
JOINS = {"and": "both are true", "or": "one of them is true"}
COMPARES = {">": "", ">=": "", "<": "", "<=": "", "==": "", "!=": ""}
_WORD = re.compile(r"""["']?[\w]*\Z""")
_PLACE = re.compile(r"The filter is wrong at column (\d+): ")
_QUOTED = re.compile(r"""(["']).*?\1""")


class Offer(NamedTuple):
    """A word that can come next, or a whole example."""

    text: str  # the filter with the word in it
    word: str
    meaning: str


class Mistake(NamedTuple):
    """What is wrong with a filter, and where: the column counts from 0, None is the whole."""

    message: str
    column: int | None


def mistake(text: str) -> Mistake | None:
    """What is wrong with a filter; None when it can be used."""
    if not text.strip():
        return None
    from core.data.analysis.query.grammar import parse

    try:
        parse(text)
    except AfinaError as error:
        place = _PLACE.match(error.message)
        words = error.message[place.end() :] if place else error.message
        hint = error.hint.partition("Facts:")[0]  # the list below the line has them
        message = f"{words[:1].upper()}{words[1:]} {hint}".strip()
        return Mistake(message, int(place[1]) - 1 if place else None)
    return None


def offers(text: str, checks: Sequence[str]) -> list[Offer]:
    """What can come next; examples while nothing is written. `checks`: names found in the rows."""
    if not text.strip():
        return [Offer(example, example, meaning) for example, meaning in EXAMPLES]
    begun = _WORD.search(text)
    start = text[begun.start() :] if begun else ""
    before = text[: len(text) - len(start)]
    known = _next(before, checks)
    bare = start.lstrip("\"'")
    return [
        Offer(f"{before}{word} ", word, meaning)
        for word, meaning in known.items()
        if word.lstrip("\"'").startswith(bare) and word != start
    ]


def _next(before: str, checks: Sequence[str]) -> dict[str, str]:
    """The words that may follow."""
    words = _QUOTED.sub("''", before).replace("(", " ( ").replace(")", " ) ").split()
    last = words[-1] if words else ""
    if not last or last in ("and", "or", "not", "("):
        quoted = {f'"{name}" in problems': "rows with this problem" for name in checks}
        return {**BEGINS, **quoted}
    if last in NUMBERS:
        return COMPARES
    if last in WORDS or last == ")":
        return {
            "contains": "has these words",
            "matches": "a regular expression",
            "==": "",
            "!=": "",
            **JOINS,
        }
    if last == "in":
        return LISTS
    if last in FLAGS or last in LISTS or last.isdigit():
        return JOINS
    if last == "''" and len(words) > 1 and words[-2] in ("contains", "matches", "==", "!="):
        return JOINS
    return {"in": "one of the row's problems"} if last == "''" else {}
