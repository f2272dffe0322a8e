"""Views: the rows that are looked at, as a growing file of row indexes in native uint32.

The files lie in a temporary folder of the worker's and go with it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from core.data.survey.facts import SEVERITIES, Facts
from core.data.survey.search import search_rows
from core.data.survey.subject import Subject
from core.data.survey.survey import Survey
from core.errors import AfinaError
from core.pipe import Message, Request

if TYPE_CHECKING:
    import numpy as np

NEWS_S = 0.1  # between two answers about a view's growth
_KEPT = 8  # files of earlier views


class Wish(msgspec.Struct):
    """The fields of a `view` request."""

    filter: str = ""
    sort: str = ""
    descending: bool = False
    search: str = ""
    regex: bool = False
    marked: list[int] = []


class Viewing:
    """Answers `view` and `seek`."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="afina-views-")
        self._count = 0

    def close(self) -> None:
        self._folder.cleanup()

    def answer(self, request: Request, subject: Subject, survey: Survey) -> Message:
        """Writes a view, telling its growth; the last answer has its whole size."""
        wish = msgspec.convert(request.fields, Wish)
        begun = told = time.monotonic()
        path = self._next()
        count, done, rows = 0, 0, len(subject.source)
        with path.open("wb", buffering=0) as file:
            for done, found in _matches(wish, subject, survey):
                if request.cancelled.is_set():
                    return {"kind": "cancelled"}
                file.write(found.astype("u4").tobytes())
                count += len(found)
                if time.monotonic() - told >= NEWS_S:
                    told = time.monotonic()
                    request.send("view", file=str(path), count=count, done=done, total=rows)
        return {"file": str(path), "count": count, "seconds": time.monotonic() - begun}

    def seek(self, facts: Facts, fields: dict[str, Any]) -> int | None:
        """The nearest row after (step 1) or before (-1) a row that has an error or a warning."""
        import numpy as np

        bad = facts["severity"] >= SEVERITIES.index("warning")
        row, step = fields["row"], fields.get("step", 1)
        if fields.get("view"):
            rows = np.fromfile(fields["view"], "u4")
            places = np.flatnonzero(bad[rows])
            here = np.flatnonzero(rows == row)
            start = int(here[0]) if len(here) else -1
            found = _beyond(places, start, step)
            return None if found is None else int(rows[found])
        return _beyond(np.flatnonzero(bad), row, step)

    def _next(self) -> Path:
        """A new file; the oldest of many is dropped."""
        folder = Path(self._folder.name)
        self._count += 1
        (folder / f"{self._count - _KEPT}.rows").unlink(missing_ok=True)
        return folder / f"{self._count}.rows"


def _beyond(places: np.ndarray, start: int, step: int) -> int | None:
    import numpy as np

    if step > 0:
        place = int(np.searchsorted(places, start, "right"))
        return int(places[place]) if place < len(places) else None
    place = int(np.searchsorted(places, start, "left")) - 1
    return int(places[place]) if place >= 0 else None


def _matches(wish: Wish, subject: Subject, survey: Survey) -> Iterator[tuple[int, np.ndarray]]:
    """(rows looked at, indexes that fit among the last of them), or all at once when sorted."""
    import numpy as np

    found = _unsorted(wish, subject)
    if not wish.sort:
        yield from found
        return
    parts = [np.zeros(0, "u4")]
    for done, rows in found:
        parts.append(rows)
        yield done, rows[:0]
    yield len(subject.source), sort_rows(survey.facts, np.concatenate(parts), wish)


def _unsorted(wish: Wish, subject: Subject) -> Iterator[tuple[int, np.ndarray]]:
    import numpy as np

    if wish.search:
        yield from search_rows(subject.source, wish.search, wish.regex)
        return
    yield len(subject.source), np.arange(len(subject.source), dtype="u4")


def sort_rows(facts: Facts, rows: np.ndarray, wish: Wish) -> np.ndarray:
    """Rows by a fact; equal ones keep their order."""
    import numpy as np

    if wish.sort not in facts.columns:
        raise AfinaError(f'There is no fact "{wish.sort}" to sort by.')
    values = facts[wish.sort][rows].astype("i8")
    return rows[np.argsort(-values if wish.descending else values, kind="stable")]
