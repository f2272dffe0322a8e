"""What is searched for: plain words, or a regular expression after "re:"."""

from __future__ import annotations

import re
from typing import NamedTuple

REGEX = "re:"


class Search(NamedTuple):
    """Words as they were typed, read."""

    words: str
    regex: bool
    pattern: re.Pattern[str]  # for marking them; the letter case of plain words doesn't count


def read_search(text: str) -> Search:
    """Reads what was typed; raises ValueError with a sentence where it is no expression."""
    regex = text.startswith(REGEX)
    words = text[len(REGEX) :] if regex else text
    try:
        pattern = re.compile(words) if regex else re.compile(re.escape(words), re.IGNORECASE)
    except re.error as error:
        place = "" if error.pos is None else f" at column {error.pos + 1}"
        reason = f"{error.msg[:1].upper()}{error.msg[1:]}"
        raise ValueError(f"{reason}{place}.") from error
    return Search(words, regex, pattern)


def toggled(text: str) -> str:
    """The same words as a regular expression, or as plain words again."""
    return text[len(REGEX) :] if text.startswith(REGEX) else REGEX + text
