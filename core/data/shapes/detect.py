"""Which shape a file's rows have, from rows spread over it, and what can be trained with it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from core.data.files.source import Source
from core.data.shapes.conversations import conversation_shape, turns_shape
from core.data.shapes.documents import LABELLED_KEYS, TEXT_KEYS, first_key, pair_keys
from core.data.shapes.kto import is_judged
from core.data.shapes.preference import answer_keys
from core.data.shapes.turns import ROLE_KEYS
from core.errors import AfinaError, nearest

SHAPES = (
    *("chat", "sharegpt", "alpaca", "prompt_completion", "template", "text", "pretokenised"),
    *("preference", "kto", "classification"),
)
UNKNOWN = "unknown"
SAMPLED_ROWS = 200


class Detection(msgspec.Struct, frozen=True):
    """The shape most of the sampled rows have."""

    shape: str  # one of SHAPES, or "unknown"
    share: float  # of the sampled rows that could be read, 0 to 1
    sampled: int  # rows that were looked at
    readable: int = 0  # of them, rows that are objects
    keys: tuple[str, ...] = ()  # the commonest keys, for the sentence about an unknown shape


def detect(source: Source) -> Detection:
    """The shape of a file, from at least 200 rows spread over it (all of a shorter one)."""
    total = len(source)
    sampled = min(total, SAMPLED_ROWS)
    votes: Counter[str] = Counter()
    keys: Counter[str] = Counter()
    for index in (position * total // sampled for position in range(sampled)):
        value = source.row(index).value
        if value is None:
            continue
        votes[shape_of(value)] += 1
        keys.update(list(value) if isinstance(value, dict) else ())
    readable = votes.total()
    known = [(name, count) for name, count in votes.most_common() if name != UNKNOWN]
    shape, count = known[0] if known else (UNKNOWN, votes[UNKNOWN])
    common = tuple(str(key) for key, _ in keys.most_common(8))
    return Detection(shape, count / readable if readable else 0.0, sampled, readable, common)


def shape_of(value: dict[str, Any] | list[Any]) -> str:
    """The shape that one row looks like, or "unknown"; never "template", which nobody can guess."""
    if isinstance(value, list):
        return turns_shape("", value) if _has_role(value) else UNKNOWN
    if answer_keys(value):
        return "preference"
    conversation = conversation_shape(value)
    if conversation:
        return "kto" if is_judged(value) else conversation
    if "label" in value and (pair_keys(value) or first_key(value, LABELLED_KEYS)):
        return "classification"
    if first_key(value, TEXT_KEYS):
        return "text"
    return "pretokenised" if "input_ids" in value else UNKNOWN


def objectives_of(shape: str) -> tuple[str, ...]:
    """What rows of a shape can train, in the words of `train.objective`; "auto" is the first."""
    if shape == "preference":
        return ("dpo", "orpo")
    return (shape,) if shape in ("kto", "classification") else ("sft",)


def require_trainable(detection: Detection) -> str:
    """The shape's name; raises AfinaError for rows of no known shape, with the shapes there are."""
    if detection.shape == UNKNOWN and detection.readable:
        keys = ", ".join(f'"{key}"' for key in detection.keys) or "none"
        raise AfinaError(
            f"The rows have no shape that Afina knows; their keys are {keys}.",
            f"Name the shape if it is one of {', '.join(SHAPES)}; with data.prompt_template any "
            "columns can be trained on.",
        )
    return detection.shape


def named_shape(name: str) -> str:
    """A shape that a person named; raises AfinaError for one that there is not."""
    if name in SHAPES:
        return name
    raise AfinaError(
        f'There is no shape "{name}".',
        f"{nearest(name, SHAPES)} Shapes: {', '.join(SHAPES)}.".lstrip(),
    )


def _has_role(turns: list[Any]) -> bool:
    return any(isinstance(turn, dict) and any(key in turn for key in ROLE_KEYS) for turn in turns)
