"""Answers that are wanted or not (KTO): any conversation with a verdict beside it."""

from __future__ import annotations

from typing import Any

import msgspec

from core.data.problems import RowProblem, kind_of, problem, shorten
from core.data.sample import Message, Reading, UnpairedPreference
from core.data.shapes.conversations import Value, conversation_shape, read_conversation, wrong_shape
from core.data.shapes.turn_checks import conduct_problems
from core.data.shapes.turns import Turns

LABEL_KEYS = ("kto_tag", "label")
_KTO_KEYS = {"prompt", "completion", "label", "id", "tools", "system"}


def is_judged(value: dict[str, Any]) -> bool:
    """Whether a row with a conversation has a verdict: true or false, or a number that means one.

    0 and 1 count only in a row with nothing else in it: elsewhere they number some class.
    """
    if "kto_tag" in value:
        return True
    label = value.get("label")
    return _verdict(label) is not None or (
        label in (0, 1) and "completion" in value and value.keys() <= _KTO_KEYS
    )


def read_judged(value: Value, into: Turns) -> Reading:
    """The last answer of a conversation with its verdict."""
    shape = conversation_shape(value)
    if shape is None or not isinstance(value, dict):
        into.fatal.append(wrong_shape("prompt, completion and label", value))
        return Reading(None, into.fatal)
    answer = read_conversation(shape, value, into)
    key = next((key for key in LABEL_KEYS if key in value), "label")
    good = _verdict(value.get(key))
    if good is None:
        into.fatal.append(_wrong_label(key, value.get(key)))
    if answer is None or into.fatal or good is None:
        return Reading(None, into.fatal + into.problems)
    if not answer.learn_from:
        answer = msgspec.structs.replace(answer, learn_from=_last_answer(answer.messages))
    return Reading(
        UnpairedPreference(answer, good), into.problems + conduct_problems(answer, into.places)
    )


def _last_answer(messages: list[Message]) -> int:
    """The index of the answer that is judged; of the last turn where there is none."""
    last = len(messages) - 1
    said = (at for at in range(last, -1, -1) if messages[at]["role"] == "assistant")
    return next(said, last)


def _verdict(label: Any) -> bool | None:
    """True or false, also in the words of a table, whose cells are text."""
    if isinstance(label, str):
        return {"true": True, "false": False}.get(label.strip().lower())
    return label if isinstance(label, bool) else None


def _wrong_label(key: str, label: Any) -> RowProblem:
    found = kind_of(label) if isinstance(label, list | dict) else shorten(label)
    if label is None:
        found = "no verdict"
    fix = "Write true for an answer that is wanted, false for one that is not."
    return problem("wrong_type_label", key, found, "true or false", fix)
