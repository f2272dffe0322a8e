"""One pass over all rows of a file: facts in columns, problems in a ledger, phase by phase.

The form of every row comes first and fast; then the tokens, where there is a tokenizer. Each phase
ends with the checks that look at all rows together, and is kept in the cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from core.data.analysis.cache import AnalysisCache, Head, Kept
from core.data.analysis.dataset_checks import form_checks, token_checks
from core.data.analysis.job import FORM, NEAR, TOKENS, Cancelled, Labour, Subject
from core.data.analysis.leak import Held, leak_checks, near_leak_checks
from core.data.analysis.near import near_checks
from core.data.analysis.problem_store import ProblemStore
from core.data.analysis.row_facts import FORM as FORM_COLUMNS
from core.data.analysis.row_facts import TOKENS as TOKEN_COLUMNS
from core.data.analysis.row_facts import Facts, Shard
from core.data.problems import RowProblem

_LEAK, _NEAR_LEAK = "leak", "near leak"  # steps that are not told of
Checks = Callable[[Facts], Iterator[list[RowProblem]]]


class Options(msgspec.Struct, frozen=True):
    """What is looked at besides the form and the tokens of each row."""

    languages: bool = False  # the language of every row
    near: bool = False  # near duplicates


class Progress(msgspec.Struct, frozen=True):
    """How far a survey is, after each step."""

    phase: str
    done: int
    total: int
    rows_per_s: float


class Analysis:
    """Everything that is known of all rows; readable from other threads while `run` goes on."""

    def __init__(
        self,
        subject: Subject,
        options: Options = Options(),  # noqa: B008 - frozen
        cache: AnalysisCache | None = None,
        held: Held | None = None,
    ) -> None:
        self.subject, self.options = subject, options
        self._cache, self._held = cache, held
        self.rows = len(subject.source)
        self.facts = Facts(self.rows)
        self.ledger = ProblemStore()
        self.complete = False
        self.cached = False  # every phase came from the cache
        self.seconds = 0.0
        self._finished: list[str] = []  # phases
        self._worked = False
        self._note(subject.source.problems)

    def close(self) -> None:
        self.ledger.close()

    def run(self, labour: Labour) -> Iterator[Progress]:
        """Works through the phases; once it is cancelled it stops, and may be run again."""
        begun = time.monotonic()
        for phase, checks in self._phases():
            if phase in self._finished:
                continue
            yield from self._phase(phase, labour)
            if self._done(phase) < self.rows:
                self.seconds += time.monotonic() - begun
                return
            for problems in checks(self.facts):
                self._note(problems)
            self._finished.append(phase)
        yield from self._compared(labour.cancelled)
        self.seconds += time.monotonic() - begun
        if labour.cancelled():
            return
        self.complete = True
        self.cached = not self._worked and self.rows > 0

    @property
    def last_phase(self) -> str:
        phases = [phase for phase in self._finished if phase in (FORM, TOKENS, NEAR)]
        return phases[-1] if phases else FORM

    @property
    def compared(self) -> bool:
        """Whether it is compared with an eval file."""
        return self._held is not None

    def extend(self, near: bool, held: Held | None) -> None:
        """Asks for more than before: what is known stays, the next run adds the rest."""
        if near and not self.options.near:
            self.options = msgspec.structs.replace(self.options, near=True)
            self.complete = False
        if held is not None and self._held is None:
            self._held, self.complete = held, False

    def snapshot(self) -> dict[str, Any]:
        """Counts as plain data; see core.data.worker.worker."""
        ledger = self.ledger
        return {
            "errors": ledger.errors,
            "warnings": ledger.warnings,
            "notes": ledger.notes,
            "counts": dict(ledger.counts),
        }

    def problems_of(self, row: int, found: list[RowProblem]) -> list[RowProblem]:
        """What was found in a row, and what comparing it with others found besides."""
        known = {item.check for item in found}
        return found + [item for item in self.ledger.of_row(row + 1) if item.check not in known]

    def _phases(self) -> Iterator[tuple[str, Checks]]:
        yield FORM, form_checks
        if self.subject.encoder is not None:
            yield TOKENS, token_checks

    def _done(self, phase: str) -> int:
        return self.facts.formed if phase == FORM else self.facts.encoded

    def _phase(self, phase: str, labour: Labour) -> Iterator[Progress]:
        begun = time.monotonic()
        first, place = self._done(phase), len(self.ledger)
        key = self.subject.key(phase, self.options.languages) if self._cache else ""
        if self._cache and not first and (kept := self._cache.load(key, self.rows)):
            self._take_kept(phase, kept)
            yield Progress(phase, self.rows, self.rows, 0.0)
            return
        found = self.facts["found"]
        for shard in labour.shards(self.subject, phase, first, found, self.options.languages):
            self._worked = True
            self._take(phase, shard)
            self._note(shard.problems)
            done = self._done(phase)
            speed = (done - first) / max(1e-9, time.monotonic() - begun)
            yield Progress(phase, done, self.rows, speed)
        whole = not first and self._done(phase) == self.rows
        took = time.monotonic() - begun
        if (
            self._cache
            and whole
            and took >= self._cache.worth_s
            and not self.subject.source.changed()
        ):
            self._keep(self._cache, key, phase, place)

    def _compared(self, cancelled: Cancelled) -> Iterator[Progress]:
        """The rows with those of the eval file, and with each other."""
        if self._held is not None and _LEAK not in self._finished:
            for problems in leak_checks(self.facts, self._held):
                self._note(problems)
            self._finished.append(_LEAK)
        if self.options.near and NEAR not in self._finished:
            yield from self._near(cancelled)
        if self.options.near and self._held is not None and _NEAR_LEAK not in self._finished:
            found = near_leak_checks(self.subject, self.facts, self._held, cancelled)
            if not cancelled():
                self._note(found)
                self._finished.append(_NEAR_LEAK)

    def _near(self, cancelled: Cancelled) -> Iterator[Progress]:
        begun = time.monotonic()
        self._worked = True
        for done, problems in near_checks(self.subject, self.facts, cancelled):
            self._note(problems)
            yield Progress(NEAR, done, self.rows, done / max(1e-9, time.monotonic() - begun))
        if not cancelled():
            self._finished.append(NEAR)

    def _take(self, phase: str, shard: Shard) -> None:
        (self.facts.add_form if phase == FORM else self.facts.add_tokens)(shard)

    def _note(self, problems: list[RowProblem]) -> None:
        self.facts.mark(problems)
        self.ledger.add(problems)

    def _take_kept(self, phase: str, kept: Kept) -> None:
        head = kept.head
        names = {"labels": head.labels, "languages": head.languages, "roles": head.roles}
        self._take(phase, Shard(0, self.rows, kept.columns, [], **names))
        for problems in kept.problems:
            self._note(problems)

    def _keep(self, cache: AnalysisCache, key: str, phase: str, place: int) -> None:
        if self.subject.source.changed():
            return  # its content is no longer what the key says
        kinds = FORM_COLUMNS if phase == FORM else TOKEN_COLUMNS
        facts = self.facts
        sizes, lines = self.ledger.raw(place)
        head = Head(
            rows=self.rows,
            columns=kinds,
            problems=len(sizes) // 4,
            labels=facts.labels.words[1:],
            languages=facts.languages.words[1:],
            roles=facts.roles,
        )
        cache.store(key, head, [*(facts[name].tobytes() for name in kinds), sizes, lines])
