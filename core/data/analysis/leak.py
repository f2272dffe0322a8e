"""What a training file has in common with the file it is evaluated on, and what it lacks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from core.data.analysis.job import Cancelled, Subject
from core.data.analysis.near import near_leaks
from core.data.analysis.row_facts import Facts
from core.data.problems import ERROR, WARNING, RowProblem, problem, shorten

_LISTED = 5  # rows that are named in one sentence


class Held(msgspec.Struct):
    """The eval file, after its form pass."""

    path: Path
    subject: Subject
    facts: Facts


def leak_checks(facts: Facts, held: Held) -> Iterator[list[RowProblem]]:
    """Rows that are in both files, and labels that only the eval file has."""
    yield list(_copies(facts, held))
    yield list(_labels(facts, held))


def near_leak_checks(
    subject: Subject, facts: Facts, held: Held, cancelled: Cancelled
) -> list[RowProblem]:
    """Rows that are nearly in both files."""
    found = near_leaks((subject, facts), (held.subject, held.facts), cancelled)
    return [
        _leak(facts, held, row, f"{share:.0%} of the content of row {other + 1}")
        for row, other, share in found
    ]


def _copies(facts: Facts, held: Held) -> Iterator[RowProblem]:
    import numpy as np

    theirs = np.flatnonzero(held.facts["readable"])
    keys, firsts = np.unique(held.facts["key"][theirs], return_index=True)
    if not len(keys):
        return
    mine = facts["key"]
    at = np.minimum(np.searchsorted(keys, mine), len(keys) - 1)
    for row in np.flatnonzero((keys[at] == mine) & (facts["readable"] > 0)).tolist():
        other = int(theirs[firsts[at[row]]])
        yield _leak(facts, held, row, f"the same content as row {other + 1}")


def _leak(facts: Facts, held: Held, row: int, found: str) -> RowProblem:
    return problem(
        "train_eval_leak",
        "",
        f"{found} of {held.path.name}",
        "rows that are in one of the two files only",
        "Drop the row from one of them: what was trained on can't be evaluated on.",
        WARNING,
    ).at(row + 1, int(facts["line"][row]))


def _labels(facts: Facts, held: Held) -> Iterator[RowProblem]:
    import numpy as np

    for code, label in enumerate(held.facts.labels.words):
        if not code or facts.labels.find(label) is not None:
            continue
        rows = (np.flatnonzero(held.facts["label"] == code) + 1).tolist()
        named = ", ".join(map(str, rows[:_LISTED])) + (", ..." if len(rows) > _LISTED else "")
        known = ", ".join(shorten(word) for word in facts.labels.words[1:][:_LISTED])
        yield problem(
            "label_not_seen_in_train",
            "label",
            f"the label {shorten(label)} in {held.path.name} (row {named})",
            f"labels of the training file: {known or 'none'}",
            "Add rows with this label to the training file, or correct it.",
            ERROR,
        )
