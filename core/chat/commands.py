"""What a line of a chat is, in the app and in `afina chat`: a command, or a question."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """The word after the slash, and the rest of the line."""

    word: str
    rest: str = ""


def read_line(text: str) -> Command | str:
    """The command in "/set seed=3"; else the question. "//" begins a question with one slash."""
    if text.startswith("//"):
        return text[1:]
    if not text.startswith("/"):
        return text
    word, rest = [*text[1:].split(maxsplit=1), "", ""][:2]
    return Command(word, rest.strip())
