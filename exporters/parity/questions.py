"""What an export is asked to be compared with the tuned model: the run's own prompts first.

Watch prompts, then rows up to their last answer (rows.py); for a model without a run, or where
those are too few, some plain questions.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from core.runs.run import Run
from core.runs.target import Target
from exporters.parity.rows import Question, Rows, rows_of

COUNT = 20
PLAIN = (
    "What is the capital of Italy?",
    "Tell me something about the sea.",
    "Write one sentence about spring.",
    "¿Qué se puede comer en España?",
    "How do I boil an egg?",
    "List three colours.",
    "Why is the sky blue?",
    "What should I see in Rome?",
    "Explain what a database is.",
    "Give me a short recipe.",
    "¿Cuál es la mejor época para viajar?",
    "Which is larger, 7 or 12?",
    "Say hello in three languages.",
    "What does a tailor do?",
    "Summarize: the boat left late, but it arrived early.",
    "Name a river.",
    "How long is a week?",
    "What is 15 + 27?",
    "Recommend a book.",
    "Good night.",
)


def questions(target: Target, count: int = COUNT, rows: Rows | None = None) -> list[Question]:
    """At most `count` different questions for a target; `rows` are its own, else they are read."""
    found: dict[bytes, Question] = {}
    for question in _all(target, count, rows_of(target) if rows is None else rows):
        found.setdefault(msgspec.json.encode(question), question)
        if len(found) == count:
            break
    return list(found.values())


def _all(target: Target, count: int, rows: Rows) -> Iterator[Question]:
    if target.run:
        first = rows.questions[0].messages[:1] if rows.questions else []
        system = [message for message in first if message["role"] == "system"]
        for prompt in Run(target.run).config.eval.watch_prompts[: count // 2]:
            yield Question([*system, {"role": "user", "content": prompt}])
        yield from rows.questions
    for text in PLAIN:
        yield Question([{"role": "user", "content": text}])
