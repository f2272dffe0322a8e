"""What an export is asked to be compared with the tuned model: the run's own prompts first.

Watch prompts, then evaluation rows up to their last answer; for a model without a run, or where
those are too few, some plain questions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from core.config import Config
from core.data.sample import Conversation
from core.errors import AfinaError
from core.runs import Run
from core.targets import Target

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


class Question(msgspec.Struct, frozen=True):
    """A conversation that waits for an answer."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None


def questions(target: Target, count: int = COUNT) -> list[Question]:
    """At most `count` different questions for a target."""
    found: dict[bytes, Question] = {}
    for question in _all(target, count):
        found.setdefault(msgspec.json.encode(question), question)
        if len(found) == count:
            break
    return list(found.values())


def _all(target: Target, count: int) -> Iterator[Question]:
    config = Run(target.run).config if target.run else None
    if config is not None:
        try:
            rows = _rows(config, count)
        except AfinaError:  # the data has been moved since: the plain questions do as well
            rows = []
        system = rows[0].messages[:1] if rows and rows[0].messages[0]["role"] == "system" else []
        for prompt in config.eval.watch_prompts[: count // 2]:
            yield Question([*system, {"role": "user", "content": prompt}])
        yield from rows
    for text in PLAIN:
        yield Question([{"role": "user", "content": text}])


def _rows(config: Config, count: int) -> list[Question]:
    """Questions out of the evaluation rows, spread over them."""
    from core.data.files.source import open_source
    from core.data.recipe import Recipe
    from core.train.feed.dataset import held_out_rows, open_rows

    data = config.data
    with open_source(data.eval_path) if data.eval_path else open_rows(config) as source:
        reader = Recipe.of(config).reader(source)
        indexes: Sequence[int] = range(len(source))
        if data.eval_path is None and data.eval_fraction > 0:
            indexes = held_out_rows(config, source, reader)
        step = max(1, len(indexes) // count)
        found = []
        for index in indexes[::step]:
            sample = reader.read(source.row(index)).sample
            if isinstance(sample, Conversation):
                found += _question(sample)
        return found


def _question(sample: Conversation) -> list[Question]:
    """The conversation before its last answer, if it has one and something before it."""
    for place in range(len(sample.messages) - 1, 0, -1):
        if sample.messages[place]["role"] == "assistant":
            return [Question(sample.messages[:place], sample.tools)]
    return []
