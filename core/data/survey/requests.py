"""What the data worker answers about all rows of the open file."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping

from core.data.encode.encoder import EncodedRow, walk_rows
from core.data.problems import ERROR, WARNING
from core.data.session import STEP_ROWS, Session
from core.data.survey.checks import Checker
from core.pipe import Handler, Message, Request

SNAPSHOT_S = 0.2


class Surveying:
    """The requests that go over all rows; they give way to those about single ones."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def handlers(self) -> Mapping[str, Handler]:
        return {"stats": self.stats, "check": self.check}

    def stats(self, request: Request) -> Message:
        """Token statistics over all rows, growing."""
        from core.data.survey.stats import TokenStats

        stats = TokenStats()
        last = time.monotonic()
        for step in self._steps(request):
            for item in step:
                stats.add(item.encoding)
            if time.monotonic() - last >= SNAPSHOT_S:
                request.send("stats", **stats.snapshot())
                last = time.monotonic()
        return {"kind": "cancelled"} if request.cancelled.is_set() else stats.snapshot()

    def check(self, request: Request) -> Message:
        """The problems of all rows, as they are found."""
        checker, counts = Checker(), Counter()
        total = len(self._session.current().source)
        for step in self._steps(request):
            found = [problem for item in step for problem in checker.see(item)]
            counts.update(problem.severity for problem in found)
            request.send("problems", problems=found, done=checker.rows, total=total)
        if request.cancelled.is_set():
            return {"kind": "cancelled"}
        last = checker.finish()
        counts.update(problem.severity for problem in last)
        request.send("problems", problems=last, done=total, total=total)
        return {"errors": counts[ERROR], "warnings": counts[WARNING], "rows": total}

    def _steps(self, request: Request) -> Iterator[list[EncodedRow]]:
        """All rows, a step at a time, until the request is cancelled."""
        opened = self._session.current()
        source, shape, encoder = opened.ready()
        for start in range(0, len(source), STEP_ROWS):
            if request.cancelled.is_set():
                return
            rows = range(start, min(start + STEP_ROWS, len(source)))
            with self._session.gate.background():
                step = list(walk_rows(source, shape, encoder, rows))
            yield step
