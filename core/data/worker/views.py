"""Views: the rows that are looked at, as a growing file of row indexes in native uint32.

The files lie in a temporary folder of the worker's and go with it.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from core.data.analysis.analysis import Analysis
from core.data.analysis.query.context import TOKEN_FACTS, QueryContext, column_of
from core.data.analysis.query.evaluate import check, evaluate, facts_of, reads_content, reads_tokens
from core.data.analysis.query.grammar import CONTENT, FACTS, Node, parse
from core.data.analysis.row_facts import SEVERITIES, Facts
from core.data.analysis.search import Found, search_rows
from core.data.worker.session import Opened
from core.errors import AfinaError, nearest
from core.pipe import Message, Request

if TYPE_CHECKING:
    import numpy as np

NEWS_S = 0.1  # between two answers about a view's growth
_KEPT = 8  # files of earlier views
_COLUMN_ROWS, _CONTENT_ROWS = 1 << 18, 256  # rows that are looked at between two answers
_WAIT_S = 0.05
SORTS = tuple(name for name in FACTS if name not in CONTENT)


class Wish(msgspec.Struct):
    """The fields of a `view` request."""

    filter: str | None = None
    sort: str | None = None
    descending: bool = False
    search: str | None = None
    regex: bool = False
    marked: list[int] = []


class Viewing:
    """Answers `view` and `seek`."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="afina-views-")
        self._numbers = itertools.count(1)  # two views may be answered at once: no two share a file

    def close(self) -> None:
        self._folder.cleanup()

    def answer(self, request: Request, opened: Opened, survey: Analysis) -> Message:
        """Writes a view, telling its growth; the last answer has its whole size.

        Rows that the survey has not come to are waited for while it runs, else they are left out:
        then `done` is less than `total`.
        """
        view = View(msgspec.convert(request.fields, Wish), opened, survey)
        begun = told = time.monotonic()
        path = self._next()
        count, done = 0, 0
        with path.open("wb", buffering=0) as file:
            for done, found in view.rows(request.cancelled.is_set):
                if request.cancelled.is_set():
                    return {"kind": "cancelled"}
                file.write(found.astype("u4").tobytes())
                count += len(found)
                now = time.monotonic()
                # the first hits at once, then at a pace
                if now - told >= NEWS_S or (len(found) and count == len(found)):
                    told = now
                    request.send("view", file=str(path), count=count, done=done, total=survey.rows)
        if request.cancelled.is_set():
            return {"kind": "cancelled"}
        seconds = time.monotonic() - begun
        whole = {"done": done, "total": survey.rows, "seconds": seconds}
        return {"file": str(path), "count": count, **whole}

    def seek(self, facts: Facts, fields: dict[str, Any]) -> int | None:
        """The nearest row after (step 1) or before (-1) a row that has an error or a warning."""
        import numpy as np

        bad = facts["severity"] >= SEVERITIES.index("warning")
        row, step = fields["row"], fields.get("step", 1)
        if fields.get("view"):
            rows = np.fromfile(fields["view"], "u4")
            places = np.flatnonzero(bad[rows])
            here = np.flatnonzero(rows == row)
            found = _beyond(places, int(here[0]) if len(here) else -1, step)
            return None if found is None else int(rows[found])
        return _beyond(np.flatnonzero(bad), row, step)

    def _next(self) -> Path:
        """A new file; the oldest of many is dropped."""
        folder = Path(self._folder.name)
        number = next(self._numbers)
        (folder / f"{number - _KEPT}.rows").unlink(missing_ok=True)
        return folder / f"{number}.rows"


class View:
    """One wish about the rows of one file; raises AfinaError for a wish that makes no sense."""

    def __init__(self, wish: Wish, opened: Opened, survey: Analysis) -> None:
        self._wish, self._opened, self._survey = wish, opened, survey
        text = wish.filter or ""
        self._tree: Node | None = parse(text) if text.strip() else None
        facts: set[str] = set()
        if self._tree is not None:
            check(self._tree)
            facts = facts_of(self._tree)
        if wish.sort:
            _check_sort(wish.sort)
            facts.add(wish.sort)
        self._facts = facts
        if facts & set(TOKEN_FACTS) and survey.subject.encoder is None:
            names = ", ".join(sorted(facts & set(TOKEN_FACTS)))
            raise AfinaError(f"Without a model nothing is known of: {names}.", "Choose a model.")
        edits = _edits(opened) if facts & {"edited", "dropped"} else ((), ())
        self._ground = QueryContext(survey.subject, survey.facts, wish.marked, *edits)

    def rows(self, cancelled: Callable[[], bool]) -> Iterator[Found]:
        """(rows looked at, indexes that fit among the last of them); all at once when sorted."""
        import numpy as np

        if not self._wish.sort:
            yield from self._fitting(cancelled)
            return
        parts, done = [np.zeros(0, "u4")], 0
        for done, rows in self._fitting(cancelled):
            parts.append(rows)
            yield done, rows[:0]
        found = np.concatenate(parts)
        values = column_of(self._ground, self._wish.sort, found)
        if self._wish.descending:
            # stable too: equal ones keep their order
            order = len(found) - 1 - np.argsort(values[::-1], kind="stable")[::-1]
        else:
            order = np.argsort(values, kind="stable")
        yield done, found[order]

    def _fitting(self, cancelled: Callable[[], bool]) -> Iterator[Found]:
        for done, rows in self._candidates(cancelled):
            if self._tree is not None:
                rows = rows[evaluate(self._tree, rows, self._ground)]
            yield done, rows

    def _candidates(self, cancelled: Callable[[], bool]) -> Iterator[Found]:
        """Rows as fast as they can be looked at, never beyond what the survey knows of them."""
        import numpy as np

        total, wish = self._survey.rows, self._wish
        if wish.search:
            for done, hits in search_rows(self._survey.subject.source, wish.search, wish.regex):
                if self._wait(done, cancelled) < done:
                    return
                yield done, hits
            return
        content = self._tree is not None and reads_content(self._tree)
        step = _CONTENT_ROWS if content else _COLUMN_ROWS
        done = 0
        while done < total:
            known = self._wait(done + 1, cancelled)
            if known <= done:
                return
            stop = min(known, done + step)
            yield stop, np.arange(done, stop, dtype="u4")
            done = stop

    def _wait(self, wanted: int, cancelled: Callable[[], bool]) -> int:
        """How many rows are known, once it is as many as wanted, or no more are to be expected."""
        while (known := self._known()) < wanted and not cancelled():
            if not self._opened.surveying.locked():
                return self._known()
            time.sleep(_WAIT_S)
        return known

    def _known(self) -> int:
        facts = self._survey.facts
        if not self._facts - {"row", "marked", "edited", "dropped", "file", *CONTENT, "role"}:
            return facts.rows
        problems = self._facts & {"problems", "severity"}
        tokens = self._tree is not None and reads_tokens(self._tree)
        sorts = self._wish.sort in TOKEN_FACTS
        if tokens or sorts or (problems and self._survey.subject.encoder is not None):
            return facts.encoded
        return facts.formed


def _beyond(places: np.ndarray, start: int, step: int) -> int | None:
    import numpy as np

    if step > 0:
        place = int(np.searchsorted(places, start, "right"))
        return int(places[place]) if place < len(places) else None
    place = int(np.searchsorted(places, start, "left")) - 1
    return int(places[place]) if place >= 0 else None


def _check_sort(name: str) -> None:
    if name not in SORTS:
        hint = f"{nearest(name, SORTS)} Facts: {', '.join(SORTS)}.".lstrip()
        raise AfinaError(f'There is no fact "{name}" to sort by.', hint)


def _edits(opened: Opened) -> tuple[list[int], list[int]]:
    """Rows with pending edits, and rows to be dropped."""
    from core.data.edit.edits import Edits

    edits = Edits.load(opened.source)
    return list(edits.edited), list(edits.dropped)
