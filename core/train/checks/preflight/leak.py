"""Held-out rows that are trained on too: what they measure is memory, not what was learned."""

from __future__ import annotations

from collections.abc import Iterator

from core.runs.finding import Finding
from core.train.loader.dataset import Encoded
from core.train.loader.rows import Flat


def leak_findings(encoded: Encoded) -> Iterator[Finding]:
    """Copies of training rows among the held-out ones, and questions that are trained on.

    Of streamed rows only those that were looked at are known, so nothing is said of them.
    """
    held_out = len(encoded.evaluation)
    if encoded.streamed or not held_out:
        return
    whole = _shared(encoded, answers=True)
    if whole:
        yield Finding(
            "warning",
            f"{_of(whole, held_out)} trained on too: the eval loss will look better than it is.",
            "Take them out of one side; `afina data split` keeps copies together.",
        )
    asked = _shared(encoded, answers=False) - whole
    if asked > 0 and encoded.shape not in ("text", "pretokenised", "classification"):
        yield Finding(
            "note" if asked < held_out / 2 else "warning",
            f"{_of(asked, held_out)} trained on with another answer to the same question.",
            "That is fine where answers are to vary; else hold out other questions.",
        )


def _shared(encoded: Encoded, answers: bool) -> int:
    """Held-out rows that are among the training rows, with their answers or without."""
    known = set(_contents(encoded.train, answers))
    return sum(content in known for content in _contents(encoded.evaluation, answers) if content)


def _contents(rows: Flat, answers: bool) -> Iterator[bytes]:
    """The tokens of each row; without answers those before the first supervised one."""
    start = 0
    for length in rows.lengths:
        ids, labels = rows.ids[start : start + length], rows.labels[start : start + length]
        if not answers:
            first = next((place for place, label in enumerate(labels) if label != -100), length)
            ids = ids[:first]
        yield ids.tobytes()
        start += length


def _of(count: int, held_out: int) -> str:
    return f"{count:,} of {held_out:,} held-out rows {'is' if count == 1 else 'are'}"
