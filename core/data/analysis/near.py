"""Rows that say nearly the same: found by MinHash and its bands, then compared for real.

A pair is named only when the Jaccard index of its shingles is at least THRESHOLD. Signatures lie on
disk while they are needed; memory stays in the megabytes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

from core.data.analysis.dataset_checks import first_of_copies
from core.data.analysis.job import Cancelled, Subject
from core.data.analysis.row_facts import Facts
from core.data.analysis.shingles import BANDS, Signed, estimate, jaccard
from core.data.files.source import Source
from core.data.problems import WARNING, RowProblem, problem
from core.data.shapes.read import Reader

if TYPE_CHECKING:
    import numpy as np

THRESHOLD = 0.8
_DOUBT = 0.12  # three standard errors of an estimate: below THRESHOLD - _DOUBT it isn't compared
_PAIRS = 1 << 16  # that are estimated at a time

Found = dict[int, tuple[int, float]]  # row -> the row it is like, and how much


def near_checks(
    subject: Subject, facts: Facts, cancelled: Cancelled
) -> Iterator[tuple[int, list[RowProblem]]]:
    """(rows done, problems): signatures first, their problems with the last rows."""
    import numpy as np

    readable = facts["readable"] > 0
    copies, _ = first_of_copies(facts)
    readable[copies] = False  # these are named already
    rows = np.flatnonzero(readable)
    with tempfile.TemporaryDirectory(prefix="afina-near-") as folder:
        signed = Signed(subject.source, subject.reader, rows, folder)
        for start, stop in signed.steps():
            if cancelled():
                return
            signed.sign(start, stop)
            yield int(rows[stop - 1]) + 1, []
        found: Found = {}
        for band in range(BANDS):
            if cancelled():
                return
            pairs = _pairs(np.asarray(signed.bands[band, : len(rows)]))
            _compare(signed, signed, pairs, found, cancelled)
        if cancelled():
            return
        problems = []
        for place in sorted(found):
            like, share = found[place]
            index = int(rows[place])
            problems.append(
                problem(
                    "near_duplicate",
                    "",
                    f"{share:.0%} of the content of row {int(rows[like]) + 1}",
                    f"rows that share less than {THRESHOLD:.0%}",
                    "Keep one of the two, unless both are meant.",
                    WARNING,
                ).at(index + 1, int(facts["line"][index]))
            )
        yield facts.rows, problems


def near_pairs(
    source: Source, reader: Reader, rows: np.ndarray, cancelled: Cancelled
) -> Iterator[tuple[int, int]]:
    """Indexes of rows that are alike, the smaller one first; each pair once, in no order."""
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="afina-near-") as folder:
        signed = Signed(source, reader, rows, folder)
        for start, stop in signed.steps():
            if cancelled():
                return
            signed.sign(start, stop)
        seen: set[tuple[int, int]] = set()
        for band in range(BANDS):
            mine, theirs = _pairs(np.asarray(signed.bands[band, : len(rows)]))
            for start in range(0, len(mine), _PAIRS):
                if cancelled():
                    return
                a, b = mine[start : start + _PAIRS], theirs[start : start + _PAIRS]
                likely = estimate(signed.halves[a], signed.halves[b]) >= THRESHOLD - _DOUBT
                likely &= a != b
                pairs = {
                    (min(pair), max(pair))
                    for pair in zip(a[likely].tolist(), b[likely].tolist(), strict=True)
                } - seen
                seen |= pairs
                for one, other in pairs:
                    if jaccard(signed.shingles(one), signed.shingles(other)) >= THRESHOLD:
                        yield int(rows[one]), int(rows[other])


def near_leaks(
    train: tuple[Subject, Facts], held: tuple[Subject, Facts], cancelled: Cancelled
) -> Iterator[tuple[int, int, float]]:
    """(train row, eval row, Jaccard index) of rows that are nearly in both files, not exactly."""
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="afina-near-") as folder:
        sides = []
        for (subject, facts), other in ((train, held[1]), (held, train[1])):
            alone = (facts["readable"] > 0) & ~np.isin(facts["key"], other["key"])
            signed = Signed(subject.source, subject.reader, np.flatnonzero(alone), folder)
            for start, stop in signed.steps():
                if cancelled():
                    return
                signed.sign(start, stop)
            sides.append(signed)
        here, there = sides
        found: Found = {}
        for band in range(BANDS):
            if cancelled() or not len(here.rows) or not len(there.rows):
                return
            mine = np.asarray(here.bands[band, : len(here.rows)])
            theirs = np.asarray(there.bands[band, : len(there.rows)])
            _compare(here, there, _matches(mine, theirs), found, cancelled)
        for place in sorted(found):
            like, share = found[place]
            yield int(here.rows[place]), int(there.rows[like]), share


def _pairs(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places with equal keys: each with the first that has its key, and with the one before it."""
    import numpy as np

    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    same = np.flatnonzero(ordered[1:] == ordered[:-1]) + 1
    begins = np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(keys)]
    firsts = order[np.flatnonzero(begins)[np.cumsum(begins) - 1]] if len(keys) else order
    return (
        np.concatenate([order[same], order[same]]),
        np.concatenate([firsts[same], order[same - 1]]),
    )


def _matches(mine: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of keys that are on both sides: the first of theirs for each of mine."""
    import numpy as np

    order = np.argsort(theirs, kind="stable")
    ordered = theirs[order]
    at = np.searchsorted(ordered, mine)
    hits = np.flatnonzero((at < len(ordered)) & (ordered[np.minimum(at, len(ordered) - 1)] == mine))
    return hits, order[at[hits]]


def _compare(
    here: Signed,
    there: Signed,
    pairs: tuple[np.ndarray, np.ndarray],
    found: Found,
    cancelled: Cancelled,
) -> None:
    """Adds the pairs that are alike for real; a place that is found already is not looked at."""
    mine, theirs = pairs
    for start in range(0, len(mine), _PAIRS):
        a, b = mine[start : start + _PAIRS], theirs[start : start + _PAIRS]
        likely = estimate(here.halves[a], there.halves[b]) >= THRESHOLD - _DOUBT
        for one, other in zip(a[likely].tolist(), b[likely].tolist(), strict=True):
            if one in found or (here is there and one == other):
                continue
            if cancelled():
                return
            share = jaccard(here.shingles(one), there.shingles(other))
            if share >= THRESHOLD:
                found[one] = other, share
