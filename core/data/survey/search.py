"""Finding words in the rows of a file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from core.data.files.source import Source
from core.errors import AfinaError

if TYPE_CHECKING:
    import numpy as np

STEP_ROWS = 1024


def search_rows(source: Source, words: str, regex: bool) -> Iterator[tuple[int, np.ndarray]]:
    """(rows looked at, indexes of the hits among the last of them)."""
    import numpy as np

    pattern = compile_search(words, regex)
    for start in range(0, len(source), STEP_ROWS):
        stop = min(start + STEP_ROWS, len(source))
        hits = [
            index
            for index in range(start, stop)
            if pattern.search(source.raw(index).decode("utf-8", "replace"))
        ]
        yield stop, np.array(hits, "u4")


def compile_search(words: str, regex: bool) -> re.Pattern[str]:
    """What finds the words in the JSON of a row, escaped there or not; case does not matter."""
    if not regex:
        spellings = {json.dumps(words, ensure_ascii=plain)[1:-1] for plain in (True, False)}
        return re.compile("|".join(map(re.escape, {words, *spellings})), re.IGNORECASE)
    try:
        return re.compile(words)
    except re.error as error:
        place = "" if error.colno is None else f" at column {error.colno}"
        raise AfinaError(f"The expression is not a regex: {error.msg}{place}.") from error
