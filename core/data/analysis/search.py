"""Finding words in all rows: plain ones in the bytes of the file, expressions in the rows' texts.

Plain words are found whatever their case, as they are or escaped as in JSON; keys of a row count as
its content. Hits come block by block, so that the first are there at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from core.data.analysis.query.evaluate import expression
from core.data.files.rows import Block
from core.data.files.source import Source

if TYPE_CHECKING:
    import numpy as np

_STEP_ROWS = 256  # of an expression, between two looks at whether it is cancelled
_PLAIN = re.compile(r"[^\"\\\x00-\x1f/]*")
Found = tuple[int, "np.ndarray"]  # rows looked at, and the hits among the last of them


def search_rows(source: Source, words: str, regex: bool) -> Iterator[Found]:
    """The rows that have the words; AfinaError for what is no expression, or one without an end."""
    if regex:
        yield from _search_texts(source, words)
        return
    find = _finder(words)
    for block in source.blocks():
        yield block.first + len(block.starts), _hits(block, find)


def _search_texts(source: Source, words: str) -> Iterator[Found]:
    import numpy as np

    matches = expression(words)
    for start in range(0, len(source), _STEP_ROWS):
        stop = min(start + _STEP_ROWS, len(source))
        hits = [row.index for row in source.rows(start, stop) if matches(_text(row), row.index)]
        yield stop, np.array(hits, "u4")


def _text(row: Any) -> str:
    """All texts in a row, a line break between them; what is broken, as it was found."""
    if row.value is None:
        return row.problem.found if row.problem else ""
    texts: list[str] = []
    waiting: list[Any] = [row.value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, dict):
            waiting += reversed(value.values())
        elif isinstance(value, list):
            waiting += reversed(value)
    return "\n".join(texts)


def _hits(block: Block, find: Callable[[bytes, int], int]) -> np.ndarray:
    """The rows of a block that have the words; each is left behind at its first hit."""
    import numpy as np

    data = block.data.lower()  # ASCII only; the rest is in the expression
    place = find(data, 0)
    if place < 0:
        return np.zeros(0, "u4")
    starts = np.asarray(block.starts, "i8") - block.base
    hits = []
    while place >= 0:
        row = int(np.searchsorted(starts, place, "right")) - 1
        hits.append(block.first + row)
        if row + 1 >= len(starts):
            break
        place = find(data, int(starts[row + 1]))
    return np.array(hits, "u4")


def _finder(words: str) -> Callable[[bytes, int], int]:
    """The place of the words in lowered bytes from a place on, or -1."""
    if words.isascii() and _PLAIN.fullmatch(words):
        needle = words.lower().encode()
        return lambda data, start: data.find(needle, start)
    pattern = re.compile(b"".join(map(_spellings, words)))

    def find(data: bytes, start: int) -> int:
        match = pattern.search(data, start)
        return match.start() if match else -1

    return find


def _spellings(character: str) -> bytes:
    """An expression for all ways to write a character, in either case, in JSON and out of it."""
    found: set[bytes] = set()
    for form in {character, character.lower(), character.upper(), character.casefold()}:
        found.add(form.encode("utf-8", "surrogatepass").lower())
        found |= {
            json.dumps(form, ensure_ascii=ascii)[1:-1].lower().encode() for ascii in (False, True)
        }
    if character == "/":
        found.add(rb"\/")
    return b"(?:" + b"|".join(map(re.escape, sorted(found))) + b")"
