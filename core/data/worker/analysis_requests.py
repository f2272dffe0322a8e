"""What the data worker answers about all rows of the open file."""

from __future__ import annotations

import time
from collections.abc import Mapping

from core.data.analysis.analysis import Analysis, Options, Progress
from core.data.analysis.cache import AnalysisCache
from core.data.analysis.checks import form_of
from core.data.analysis.job import Labour
from core.data.analysis.stats import Batches, token_stats, whole_stats
from core.data.worker.session import Opened, Session
from core.data.worker.views import Viewing
from core.pipe import Handler, Message, Request

SNAPSHOT_S = 0.2  # between two answers about a survey's progress
NEAR_ROWS = 50_000  # up to here near duplicates are looked for without being asked: seconds
_NICE = 19  # of the processes that survey: whoever looks at rows comes first
_STATS_SHARE = 10  # the time for statistics on the way is at most this part of all


class AnalysisRequests:
    """The requests about all rows; those that go over them give way to the ones about single rows.

    They need the facts of a survey: what it has not come to yet counts as unknown, not as zero.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._viewing = Viewing()

    def handlers(self) -> Mapping[str, Handler]:
        return {**self.background(), **self.foreground()}

    def background(self) -> Mapping[str, Handler]:
        """Each of these runs in a thread of its own."""
        return {"survey": self.survey, "view": self.view, "statistics": self.statistics}

    def foreground(self) -> Mapping[str, Handler]:
        """These are answered at once."""
        return {"problems": self.problems, "seek": self.seek}

    def close(self) -> None:
        self._viewing.close()

    def survey(self, request: Request) -> Message:
        """The pass over all rows, with its counts as they grow."""
        opened = self._session.current()
        survey = _survey_of(opened)

        def cancelled() -> bool:  # also when another file is looked at
            return request.cancelled.is_set() or not self._session.is_open(opened)

        told, stats, cost = 0.0, None, 0.0
        labour = Labour(cancelled, self._session.gate.background, nice=_NICE)
        with opened.surveying, labour:
            self._extend(survey, request, labour)
            for progress in survey.run(labour):
                now = time.monotonic()
                if now - told < max(SNAPSHOT_S, cost * _STATS_SHARE):
                    continue
                if survey.facts.encoded:
                    stats = token_stats(survey.facts)
                told = time.monotonic()
                cost = told - now
                request.send("survey", **_words(survey, progress), stats=stats)
        if not survey.complete:
            return {"kind": "cancelled"}
        return {
            **survey.snapshot(),
            "phase": survey.last_phase,
            "done": survey.rows,
            "total": survey.rows,
            "rows_per_s": 0.0,
            "stats": token_stats(survey.facts) if survey.facts.encoded else None,
            "cached": survey.cached,
            "seconds": survey.seconds,
        }

    def _extend(self, survey: Analysis, request: Request, labour: Labour) -> None:
        """Adds what this request wants beyond those before it."""
        near = request.fields.get("near")
        eval_path, held = request.fields.get("eval_path"), None
        if eval_path and not survey.compared:
            held = form_of(eval_path, survey.subject.recipe, labour)
        survey.extend(survey.rows <= NEAR_ROWS if near is None else near, held)

    def problems(self, request: Request) -> Message:
        """Some of the problems found so far, in the order of their rows."""
        fields = request.fields
        start, limit = fields.get("start", 0), fields.get("limit", 100)
        survey = _survey_of(self._session.current())
        found, total = survey.ledger.page(fields.get("check"), start, limit)
        return {"problems": found, "total": total}

    def seek(self, request: Request) -> Message:
        """The next row with an error or a warning, in the file or in a view."""
        fields = request.fields
        survey = _survey_of(self._session.current())
        return {"row": self._viewing.seek(survey.facts, fields)}

    def view(self, request: Request) -> Message:
        """The rows that a filter and a search let through, in the order wanted."""
        opened = self._session.current()
        return self._viewing.answer(request, opened, _survey_of(opened))

    def statistics(self, request: Request) -> Message:
        """What `data stats --json` prints about the rows surveyed so far."""
        opened = self._session.current()
        weights = tuple(opened.source.weights())
        batches = Batches(opened.recipe.max_length, weights=weights)
        return whole_stats(_survey_of(opened).facts, batches)


def _survey_of(opened: Opened) -> Analysis:
    if opened.survey is None:
        opened.survey = Analysis(opened.subject(), Options(languages=True), AnalysisCache())
    return opened.survey


def _words(survey: Analysis, progress: Progress) -> Message:
    return {
        **survey.snapshot(),
        "phase": progress.phase,
        "done": progress.done,
        "total": progress.total,
        "rows_per_s": progress.rows_per_s,
    }
