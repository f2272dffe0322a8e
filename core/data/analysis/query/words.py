"""The words of a filter, each with its column, and the error that points at one of them."""

from __future__ import annotations

import re
from typing import NoReturn

import msgspec

from core.errors import AfinaError

KEYWORDS = ("and", "or", "not", "in", "contains", "matches")
_WORD = re.compile(
    r"""\s*(?:
    (?P<number>-?\d[\d_]*(?:\.\d+)?)(?![\w.])
  | (?P<name>[^\W\d]\w*)
  | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<sign>==|!=|<=|>=|<|>|\(|\)|,)
    )""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}


class Word(msgspec.Struct, frozen=True):
    """One word of a filter; `column` counts from 1. The end is a word of kind "end"."""

    kind: str  # number, name, text, sign, keyword, end
    text: str
    column: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else f'"{self.text}"'


def split_words(text: str) -> list[Word]:
    """The words of a filter, and its end; raises AfinaError at what is no word."""
    words: list[Word] = []
    place = 0
    while place < len(text) and text[place:].strip():
        match = _WORD.match(text, place)
        if match is None:
            _refuse(text, place + len(text[place:]) - len(text[place:].lstrip()))
        kind = match.lastgroup or ""
        word = match[kind]
        if kind == "name" and word.lower() in KEYWORDS:
            kind, word = "keyword", word.lower()
        words.append(Word(kind, word, match.start(match.lastgroup or "") + 1))
        place = match.end()
    return [*words, Word("end", "", len(text.rstrip()) + 1)]


def literal(word: Word) -> str:
    r"""The text that a quoted word stands for: \" \' \\ \n \t \r; other backslashes are kept."""
    return _ESCAPE.sub(
        lambda match: _ESCAPED.get(match[1], match[1] if match[1] in "\"'\\" else match[0]),
        word.text[1:-1],
    )


def pattern(word: Word) -> str:
    """The regular expression in a quoted word: only its own quote can be escaped."""
    quote = word.text[0]
    return word.text[1:-1].replace(f"\\{quote}", quote)


def error_at(column: int, message: str, hint: str = "") -> AfinaError:
    """An error about one place of a filter."""
    return AfinaError(f"The filter is wrong at column {column}: {message}", hint)


def _refuse(text: str, place: int) -> NoReturn:
    found = text[place]
    if found in "\"'":
        raise error_at(place + 1, f"the text that begins with {found} has no end.")
    if found == "=":
        raise error_at(place + 1, "= is not a comparison.", "Write == for equal.")
    if found in "&|!":
        raise error_at(place + 1, f"{found} is not known here.", "Write and, or, not.")
    raise error_at(place + 1, f'"{found}" is not known here.')
