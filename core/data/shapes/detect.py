"""Which shape a file's rows have, and how a row of that shape becomes a sample.

Shapes that Afina recognises but does not train on yet are named, so that nobody has to guess why a
file is refused.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from core.data.files.source import Source
from core.data.shapes.instruction import is_alpaca, spelling
from core.data.shapes.turns import ROLE_KEYS, find_turns
from core.errors import AfinaError, nearest

SHAPES = ("chat", "sharegpt", "alpaca", "prompt_completion", "text")
NOT_TRAINED_YET = ("preference", "kto", "classification", "pretokenised")
UNKNOWN = "unknown"
TEXT_KEYS = ("text", "content", "raw_content")
MEDIA_KEYS = ("image", "images", "audio", "audios", "video", "videos")
SAMPLED_ROWS = 200


class Detection(msgspec.Struct, frozen=True):
    """The shape most of the sampled rows have."""

    shape: str  # one of SHAPES or NOT_TRAINED_YET, or "unknown"
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
    """The shape that one row looks like, or "unknown"."""
    if isinstance(value, list):
        return _turns_shape(value, "") if _has_role(value) else UNKNOWN
    if "chosen" in value and "rejected" in value:
        return "preference"
    if "preferred_output" in value and "non_preferred_output" in value:
        return "preference"
    turns = find_turns(value)
    labelled = value.get("kto_tag", value.get("label"))
    if turns and (isinstance(turns[1], list) or turns[0] == "messages"):
        return "kto" if isinstance(labelled, bool) else _turns_shape(turns[1], turns[0])
    if spelling(value) and isinstance(labelled, bool):
        return "kto"
    if is_alpaca(value):
        return "alpaca"
    if spelling(value):
        return "prompt_completion"
    if "label" in value and (_first_text(value) or _is_pair(value)):
        return "classification"
    if _first_text(value):
        return "text"
    return "pretokenised" if "input_ids" in value else UNKNOWN


def require_trainable(detection: Detection) -> str:
    """The shape's name; raises AfinaError when rows of it can't be trained on, with what can."""
    able = ", ".join(SHAPES)
    if detection.shape in NOT_TRAINED_YET:
        raise AfinaError(
            f'The rows have the shape "{detection.shape}", which is not trained yet.',
            f"What it trains on: {able}.",
        )
    if detection.shape == UNKNOWN and detection.readable:
        keys = ", ".join(f'"{key}"' for key in detection.keys) or "none"
        raise AfinaError(
            f"The rows have no shape that Afina knows; their keys are {keys}.",
            f"Name the shape if it is one of {able}.",
        )
    return detection.shape


def named_shape(name: str) -> str:
    """A shape that a person named; raises AfinaError for one that is not trained on."""
    if name in SHAPES:
        return name
    if name in NOT_TRAINED_YET:
        return require_trainable(Detection(name, 1.0, 0))
    raise AfinaError(
        f'There is no shape "{name}".',
        f"{nearest(name, SHAPES)} Shapes: {', '.join(SHAPES)}.".lstrip(),
    )


def _turns_shape(turns: Any, key: str) -> str:
    """chat for OpenAI's spelling under `messages` or in a bare list, else sharegpt."""
    listed = turns if isinstance(turns, list) else []
    first = next((turn for turn in listed if isinstance(turn, dict)), {})
    if key in ("messages", "") and (
        "role" in first or not any(name in first for name in ROLE_KEYS)
    ):
        return "chat"
    return "sharegpt"


def _has_role(turns: list[Any]) -> bool:
    return any(isinstance(turn, dict) and any(key in turn for key in ROLE_KEYS) for turn in turns)


def _first_text(value: dict[str, Any]) -> bool:
    return any(key in value for key in (*TEXT_KEYS, "sentence"))


def _is_pair(value: dict[str, Any]) -> bool:
    return any(
        a in value and b in value
        for a, b in (("premise", "hypothesis"), ("sentence1", "sentence2"))
    )
