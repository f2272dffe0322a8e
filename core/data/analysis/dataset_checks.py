"""The checks that look at all rows together; each reads columns, none reads a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from core.data.analysis.language import SCRIPTS
from core.data.analysis.row_facts import Facts
from core.data.problems import ERROR, NOTE, WARNING, RowProblem, problem, shorten

if TYPE_CHECKING:
    import numpy as np

FEW_ROWS = 10
RARE_LABEL = 0.05  # of the rows of the commonest label: fewer are an imbalance worth knowing
ODD_SCRIPT = 0.02  # of the rows: a script that fewer of them are written in is unexpected
LONG_PERCENTILE = 99.9
MANY_ROWS = 1000  # below this there is no 99.9th percentile to speak of


def form_checks(facts: Facts) -> Iterator[list[RowProblem]]:
    """Copies, labels, scripts and the number of rows, in lists as they are found."""
    yield list(_copies(facts))
    yield list(_labels(facts))
    yield list(_scripts(facts))
    yield list(_few(facts))


def token_checks(facts: Facts) -> Iterator[list[RowProblem]]:
    """What the lengths say."""
    yield list(_long(facts))


def first_of_copies(facts: Facts) -> tuple[np.ndarray, np.ndarray]:
    """Rows that say what an earlier row says, and for each the first that says it (indexes)."""
    import numpy as np

    rows = np.flatnonzero(facts["readable"])
    keys = facts["key"][rows]
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    begins = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if len(rows) else ordered > 0
    firsts = order[np.flatnonzero(begins)[np.cumsum(begins) - 1]] if len(rows) else order
    copies, origins = rows[order[~begins]], rows[firsts[~begins]]
    back = np.argsort(copies)
    return copies[back], origins[back]


def _copies(facts: Facts) -> Iterator[RowProblem]:
    copies, origins = first_of_copies(facts)
    for index, first in zip(copies.tolist(), origins.tolist(), strict=True):
        yield problem(
            "exact_duplicate",
            "",
            f"the same content as row {first + 1}",
            "a row of its own",
            "Drop the copy, unless it is meant to weigh more.",
            WARNING,
        ).at(index + 1, int(facts["line"][index]))


def _labels(facts: Facts) -> Iterator[RowProblem]:
    """Labels of mixed types, and labels that stand in few rows."""
    import numpy as np

    labels = facts.labels.words[1:]
    if len(labels) < 2:
        return
    counts = np.bincount(facts["label"], minlength=len(labels) + 1)[1:]
    common = labels[int(counts.argmax())]
    for code, label in enumerate(labels, start=1):
        if type(label) is type(common):
            continue
        for index in np.flatnonzero(facts["label"] == code).tolist():
            yield problem(
                "wrong_type_label",
                "label",
                f"{_kind(label)}, {shorten(label)}",
                f"{_kind(common)}, as in most rows",
                "Write all labels in one way.",
            ).at(index + 1, int(facts["line"][index]))
    most = int(counts.max())
    for label, count in zip(labels, counts.tolist(), strict=True):
        if type(label) is type(common) and count < RARE_LABEL * most:
            yield problem(
                "class_imbalance",
                "label",
                f"{count:,} rows with the label {shorten(label)}, {most:,} with {shorten(common)}",
                f"at least {RARE_LABEL:.0%} of the commonest label",
                "Add rows of the rare label, or drop rows of the common one.",
                WARNING,
            )


def _kind(label: object) -> str:
    if isinstance(label, bool):
        return "true or false"
    return "a number" if isinstance(label, int) else "text"


def _scripts(facts: Facts) -> Iterator[RowProblem]:
    """Rows in a script that hardly any row of the file is written in."""
    import numpy as np

    counts = np.bincount(facts["script"], minlength=len(SCRIPTS))
    counts[0] = 0
    total = int(counts.sum())
    if total < MANY_ROWS // 10:
        return
    main = SCRIPTS[int(counts.argmax())]
    for code in np.flatnonzero((counts > 0) & (counts < ODD_SCRIPT * total)).tolist():
        for index in np.flatnonzero(facts["script"] == code).tolist():
            yield problem(
                "mixed_languages",
                "",
                f"mostly {SCRIPTS[code]} script",
                f"{main} script, as in {counts.max() / total:.0%} of the rows",
                "Keep the row if the model is to know both.",
                NOTE,
            ).at(index + 1, int(facts["line"][index]))


def _few(facts: Facts) -> Iterator[RowProblem]:
    if facts.rows < FEW_ROWS:
        yield problem(
            "too_few_examples",
            "",
            "1 row" if facts.rows == 1 else f"{facts.rows} rows",
            f"at least {FEW_ROWS}",
            "Add rows: 50 to 100 good ones are where tuning begins to show.",
            WARNING if facts.rows else ERROR,
        )


def _long(facts: Facts) -> Iterator[RowProblem]:
    import numpy as np

    tokens = facts["tokens"]
    known = tokens[tokens > 0]
    if len(known) < MANY_ROWS:
        return
    limit = int(np.percentile(known, LONG_PERCENTILE, method="inverted_cdf"))
    typical = int(np.median(known))
    if limit < 2 * typical:  # the longest of rows that are all alike are not extreme
        limit = 2 * typical
    for index in np.flatnonzero(tokens > limit).tolist():
        yield problem(
            "extreme_length",
            "",
            f"{int(tokens[index]):,} tokens",
            f"at most {limit:,}, as in {LONG_PERCENTILE}% of the rows",
            "Look whether it is one row, or several that ran together.",
            NOTE,
        ).at(index + 1, int(facts["line"][index]))
