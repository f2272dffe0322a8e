"""Putting an export beside the tuned model: the same questions, the same tokens. No opinion yet.

The export answers for itself, and it reads the tuned model's answers and rows of its evaluation:
what both expect is compared token by token. What other programs see in it, the exporter tells.
Judging is in judge.py.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from core.chat.client import ModelClient
from core.chat.protocol import Answer, Sampling
from core.errors import AfinaError
from exporters.contract import Exporter, Working
from exporters.parity.distributions import Carried, Expected, divergences, expected
from exporters.parity.measured import EvalRows, Measured
from exporters.parity.reference import ANSWERS_S, ROWS_S, Budget, OnProgress, Reference, ask
from exporters.parity.weights import weigh
from exporters.parity.words import equal, first_different, read_by_others

if TYPE_CHECKING:
    import numpy as np

SURE = 1.0  # nats between the tuned model's token and the export's; below it is a near tie
SPOKEN = 8  # tokens that an answer needs to count for the speed
WARM_UP = 8  # tokens that are read and written before the speed counts
MOST_NATS = 25.0  # a token, in a perplexity that can be read; chance loses 12 of 150k words


class Answered(NamedTuple):
    """One question: the tuned model's answer, the export's own, how it reads the tuned one's."""

    tuned: Answer
    here: Answer
    kl: np.ndarray  # nats at each token of the tuned answer
    delta: np.ndarray  # |difference of log p| of those tokens
    last_delta: float  # log p of the last of them, the export's less the tuned model's
    gap: float  # how much less likely the tuned model finds the first other token; 0: none

    @property
    def ends_alike(self) -> bool:
        """Whether the export stops where the tuned model does, had it come the same way."""
        if self.here.finish_reason == "stop":
            return True
        went_along = self.here.ids[: len(self.tuned.ids)] == self.tuned.ids
        return not went_along and self.last_delta > -SURE


class Compared(NamedTuple):
    """All that an export said."""

    answers: list[Answered]
    carried: float | None
    rows: EvalRows | None
    stop_ids: list[int]


def measure(
    exporter: Exporter,
    type_name: str,
    path: Path,
    reference: Reference,
    working: Working,
    progress: OnProgress,
) -> Measured:
    """Asks an export what the tuned model was asked. Raises AfinaError when it can't answer."""
    total = len(reference.answers) + len(reference.passages)
    progress(0, total)
    texts = [*reference.snippets, *reference.singles]
    target = exporter.answering(type_name, path, working)  # may write what `seen` reads too
    seen = exporter.seen(type_name, path, texts, reference.conversations, working.check)
    excerpts = exporter.excerpts(type_name, path)
    with reference.requests.model(reference.client(target)) as client:
        found = _compare(client, reference, lambda done: progress(done, total))
    progress(total, total)
    answers = found.answers
    asked = [str(question.messages[-1].get("content")) for question in reference.questions]
    own = [each.tuned.prompt_ids for each in answers]
    theirs = [each.here.prompt_ids for each in answers]
    ended = [each for each in answers if each.tuned.finish_reason == "stop"]
    stop_ids = set(seen.stop_ids if seen else found.stop_ids)
    inside = {token for answer in reference.answers for token in answer.ids[:-1]}
    pairs = [(each.tuned.ids, each.here.ids) for each in answers]
    return Measured(
        prompts=len(own),
        prompts_equal=equal(own, theirs),
        different_prompt=first_different(asked, own, theirs),
        others=read_by_others(reference, seen) if seen else None,
        stop_ids_missing=sorted(set(reference.stop_ids) - stop_ids),
        stops_inside=sorted(stop_ids & inside),
        stopped=len(ended),
        stopped_here=sum(each.ends_alike for each in ended),
        agreement=statistics.fmean(shared_share(tuned, here) for tuned, here in pairs),
        common_prefix=statistics.fmean(shared_length(tuned, here) for tuned, here in pairs),
        identical=statistics.fmean(tuned == here for tuned, here in pairs),
        parted=sum(each.gap > SURE for each in answers),
        kl=_mean([each.kl for each in answers]),
        max_delta_log_p=max(float(each.delta.max()) for each in answers),
        tokens=sum(each.kl.size for each in answers),
        rows=found.rows,
        rows_missing=reference.rows_missing,
        weights=weigh(excerpts, working.check) if excerpts else None,
        effect=reference.effect if reference.untuned else None,
        carried=found.carried,
        tokens_per_s=_speed([each.here for each in answers]),
        threads=reference.threads,
        reference=reference.dtype,
    )


def _compare(
    client: ModelClient, reference: Reference, progress: Callable[[int], None]
) -> Compared:
    """Each question to the export, then each text that the tuned model has read."""
    loaded = client.load()
    first = reference.answers[0].prompt_ids[:WARM_UP]
    client.generate(ids=first, sampling=Sampling(temperature=0.0, max_tokens=WARM_UP))
    answers: list[Answered] = []
    carried, budget = Carried(), Budget(ANSWERS_S)
    for place, question in enumerate(reference.questions):
        progress(place)
        if budget.over(place):
            break
        here = ask(client, question)
        q = expected(client, reference.answer(place), reference.passing)
        p = reference.expected("answer", place)
        answers.append(_answered(reference.answers[place], here, p, q))
        if reference.untuned:
            carried.add(reference.expected("untuned", place), p, q)
    rows = _rows(client, reference, lambda done: progress(len(reference.answers) + done))
    return Compared(answers, carried.share, rows, loaded.stop_ids)


def _answered(tuned: Answer, here: Answer, p: Expected, q: Expected) -> Answered:
    """p, q: what the tuned model and the export expect at the tuned answer's tokens."""
    _check_size(p, q)
    place = _first_parting(tuned.ids, here.ids)
    gap = 0.0 if place is None else float(p.own[place] - p.log_p[place, here.ids[place]])
    last = float(q.own[-1] - p.own[-1])
    return Answered(tuned, here, divergences(p, q), abs(p.own - q.own), last, gap)


def _rows(
    client: ModelClient, reference: Reference, progress: Callable[[int], None]
) -> EvalRows | None:
    """The rows of the evaluation; None where the tuned model has none."""
    kl, tuned, here = [], [], []
    budget = Budget(ROWS_S)
    for place, passage in enumerate(reference.passages):
        progress(place)
        if budget.over(place):
            break
        p, q = reference.expected("row", place), expected(client, passage, reference.passing)
        _check_size(p, q)
        kl.append(divergences(p, q))
        tuned.append(p.own)
        here.append(q.own)
    if not kl:
        return None
    return EvalRows(
        rows=len(kl),
        tokens=sum(each.size for each in kl),
        kl=_mean(kl),
        perplexity=perplexity(here),
        perplexity_tuned=perplexity(tuned),
    )


def perplexity(log_p: list[np.ndarray]) -> float:
    """Of tokens with these log p; finite also where a broken model excludes them."""
    return math.exp(min(-_mean(log_p), MOST_NATS))


def _check_size(p: Expected, q: Expected) -> None:
    if p.log_p.shape != q.log_p.shape:
        raise AfinaError(
            f"The export knows {q.log_p.shape[1]:,} tokens, and the tuned model "
            f"{p.log_p.shape[1]:,}.",
            "Export again.",
        )


def _first_parting(tuned: list[int], here: list[int]) -> int | None:
    """Where two answers take different tokens; None where one goes along with the other."""
    pairs = enumerate(zip(tuned, here, strict=False))
    return next((place for place, (a, b) in pairs if a != b), None)


def shared_length(one: list[int], other: list[int]) -> int:
    """How many tokens both have in common from their start."""
    place = _first_parting(one, other)
    return min(len(one), len(other)) if place is None else place


def shared_share(one: list[int], other: list[int]) -> float:
    """How much of the longer answer that is, 0 to 1."""
    return shared_length(one, other) / max(len(one), len(other), 1)


def _mean(parts: list[np.ndarray]) -> float:
    """Over all values of some arrays."""
    import numpy as np

    return float(np.concatenate(parts).mean(dtype=np.float64))


def _speed(answers: list[Answer]) -> float | None:
    """The median over the answers, over those long enough to measure where there are some."""
    speeds = [(len(answer.ids), answer.tokens_per_s) for answer in answers if answer.tokens_per_s]
    long = [speed for length, speed in speeds if length >= SPOKEN]
    counted = long or [speed for _, speed in speeds]
    return round(statistics.median(counted), 1) if counted else None
