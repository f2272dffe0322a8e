"""One pass over all rows of a file: facts in columns, problems in a ledger, phase by phase.

The form of every row comes first and fast; then the tokens, where there is a tokenizer. Each phase
ends with the checks that look at all rows together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec

from core.data.encode.encoder import Encoder
from core.data.files.source import Source
from core.data.problems import RowProblem
from core.data.recipe import Recipe
from core.data.shapes.read import Reader
from core.data.survey.facts import Facts, Shard
from core.data.survey.ledger import Ledger
from core.data.survey.passes import examine_form, examine_tokens
from core.data.survey.whole import form_checks, token_checks

FORM, TOKENS, NEAR = "form", "tokens", "near"
STEP_ROWS = 32  # of a survey in this process, between two looks at who else wants to work

Cancelled = Callable[[], bool]
Checks = Callable[[Facts], Iterator[list[RowProblem]]]
Guard = Callable[[], AbstractContextManager[None]]  # held while a step of rows is worked on


class Subject(msgspec.Struct):
    """What is surveyed: a file, and how its rows are read and encoded."""

    source: Source
    reader: Reader
    encoder: Encoder | None  # None: form only
    recipe: Recipe
    share: float = 1.0  # of the sampled rows that have the reader's shape


class Progress(msgspec.Struct, frozen=True):
    """How far a survey is, after each step."""

    phase: str
    done: int
    total: int
    rows_per_s: float


class Survey:
    """Everything that is known of all rows; readable from other threads while `run` goes on."""

    def __init__(self, subject: Subject, languages: bool = False) -> None:
        self.subject = subject
        self.languages = languages
        self.rows = len(subject.source)
        self.facts = Facts(self.rows)
        self.ledger = Ledger()
        self.complete = False
        self.cached = False
        self.seconds = 0.0
        self._finished: list[str] = []  # phases

    def close(self) -> None:
        self.ledger.close()

    def run(self, cancelled: Cancelled, guard: Guard = nullcontext) -> Iterator[Progress]:
        """Works through the phases; once it is cancelled it stops, and may be run again."""
        begun = time.monotonic()
        for phase, checks in self._phases():
            if phase in self._finished:
                continue
            yield from self._phase(phase, cancelled, guard)
            if self._done(phase) < self.rows:
                return
            for problems in checks(self.facts):
                self._note(problems)
            self._finished.append(phase)
        self.complete = True
        self.seconds += time.monotonic() - begun

    @property
    def last_phase(self) -> str:
        return FORM if self.subject.encoder is None else TOKENS

    def snapshot(self) -> dict[str, Any]:
        """Counts as plain data; see core.data.worker."""
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

    def _phase(self, phase: str, cancelled: Cancelled, guard: Guard) -> Iterator[Progress]:
        begun = time.monotonic()
        take = self.facts.add_form if phase == FORM else self.facts.add_tokens
        first = self._done(phase)
        for shard in self._shards(phase, cancelled, guard):
            take(shard)
            self._note(shard.problems)
            done = self._done(phase)
            speed = (done - first) / max(1e-9, time.monotonic() - begun)
            yield Progress(phase, done, self.rows, speed)

    def _shards(self, phase: str, cancelled: Cancelled, guard: Guard) -> Iterator[Shard]:
        for start in range(self._done(phase), self.rows, STEP_ROWS):
            if cancelled():
                return
            with guard():
                shard = self._examine(phase, range(start, min(start + STEP_ROWS, self.rows)))
            yield shard

    def _examine(self, phase: str, rows: range) -> Shard:
        subject = self.subject
        if phase == FORM:
            return examine_form(subject.source, subject.reader, rows)
        assert subject.encoder is not None
        found = self.facts["found"][rows.start : rows.stop].tolist()
        return examine_tokens(
            subject.source, subject.reader, subject.encoder, rows, found, self.languages
        )

    def _note(self, problems: list[RowProblem]) -> None:
        self.facts.mark(problems)
        self.ledger.add(problems)
