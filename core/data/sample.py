"""What a row becomes: one of a few forms, whatever the file's shape was."""

from __future__ import annotations

from typing import Any

import msgspec

from core.data.problems import RowProblem

Message = dict[
    str, Any
]  # "role", "content" and what templates read besides: "tool_calls", "name", ...

Label = bool | int | str  # of a row to classify: a number, a word, or a verdict


class Conversation(msgspec.Struct):
    """Messages as chat templates want them: content is text, arguments of calls are objects."""

    messages: list[Message]
    tools: list[dict[str, Any]] | None = None
    unlearned: frozenset[int] = frozenset()  # messages with weight 0
    learn_from: int = 0  # messages before this one are prompt, also those of the assistant
    plain: tuple[str, str] | None = (
        None  # prompt and completion, for a model without a chat template
    )
    as_written: bool = False  # `plain` is what every model sees: a person wrote the template


class Text(msgspec.Struct):
    """A document: every token of it is learned."""

    text: str


class Preference(msgspec.Struct):
    """Two answers to one prompt: conversations that differ from message `learn_from` on."""

    chosen: Conversation
    rejected: Conversation


class UnpairedPreference(msgspec.Struct):
    """One answer and whether it is wanted (KTO)."""

    answer: Conversation
    good: bool


class Labelled(msgspec.Struct):
    """A text, or a pair of texts, with its class."""

    text: str
    pair: str | None
    label: int | str


class Tokens(msgspec.Struct):
    """A row that came as ids; labels are -100 where nothing is learned, None learns every id."""

    ids: list[int]
    labels: list[int] | None = None


Sample = Conversation | Text | Preference | UnpairedPreference | Labelled | Tokens


class Reading(msgspec.Struct):
    """A row as it was understood: no sample when it can't become one; the problems either way."""

    sample: Sample | None
    problems: list[RowProblem]
