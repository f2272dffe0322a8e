"""Reads Alpaca rows and the many spellings of prompt and completion into conversations."""

from __future__ import annotations

from typing import Any

import msgspec

from core.data.problems import kind_of, problem
from core.data.shapes.turns import Turns, read_turns


class Columns(msgspec.Struct, frozen=True):
    """The columns of one spelling: what is asked, what is added to it, what is answered."""

    prompt: str
    answer: str
    context: str = ""
    system: str = ""


# In this order: the first whose prompt and answer columns are there is taken.
SPELLINGS = (
    Columns("prompt", "completion", system="system"),
    Columns("prompt", "response", system="system"),
    Columns("question", "answer", context="context", system="system_prompt"),
    Columns("question", "response", context="context", system="system_prompt"),
    Columns("instruction", "response", context="context"),
    Columns("query", "response"),
    Columns("input", "output"),
)


def spelling(value: dict[str, Any]) -> Columns | None:
    """The spelling of prompt and completion that a row uses."""
    return next((item for item in SPELLINGS if item.prompt in value and item.answer in value), None)


def is_alpaca(value: dict[str, Any]) -> bool:
    return "instruction" in value and "output" in value


def read_alpaca(value: dict[str, Any], into: Turns) -> None:
    """instruction, input?, output, system?, history? [[user, assistant], ...]."""
    read_instruction(value, into)
    _message("assistant", value.get("output"), "output", into)


def read_instruction(value: dict[str, Any], into: Turns) -> None:
    """What an Alpaca row asks: all of it but the output."""
    _system(value, "system", into)
    history = value.get("history") or []
    if not isinstance(history, list):
        into.fatal.append(
            problem(
                "non_string_content",
                "history",
                kind_of(history),
                "a list of [user, assistant] pairs",
                "Write the history as pairs, or remove it.",
            )
        )
        history = []
    for index, pair in enumerate(history):
        if not isinstance(pair, list) or len(pair) != 2:
            into.fatal.append(
                problem(
                    "message_missing_key",
                    f"history[{index}]",
                    kind_of(pair),
                    "a pair [user, assistant]",
                    "Complete the pair, or remove it.",
                )
            )
            continue
        for role, text, side in (("user", pair[0], 0), ("assistant", pair[1], 1)):
            _message(role, text, f"history[{index}][{side}]", into)
    asked = _text(value, "instruction", into)
    added = _text(value, "input", into) if value.get("input") else ""
    into.add({"role": "user", "content": f"{asked}\n\n{added}" if added else asked}, "instruction")


def read_completion(value: dict[str, Any], into: Turns) -> tuple[int, tuple[str, str] | None]:
    """Prompt and completion as strings or as lists of messages.

    Returns the index of the completion's first message, and the two strings where they are strings.
    """
    columns = spelling(value) or SPELLINGS[0]
    asked = read_prompt(value, columns, into)
    start = len(into.messages)
    answer = value.get(columns.answer)
    if isinstance(answer, list):
        read_turns(answer, columns.answer, True, into)
        return start, None
    _message("assistant", answer, columns.answer, into)
    if asked is None or not isinstance(answer, str):
        return start, None
    return start, (asked, answer)


def read_prompt(value: dict[str, Any], columns: Columns, into: Turns) -> str | None:
    """The prompt's messages, and all it says as one text; None where it is a list of messages."""
    system = _system(value, columns.system, into)
    if isinstance(value.get(columns.prompt), list):
        read_turns(value[columns.prompt], columns.prompt, True, into)
        return None
    asked = _text(value, columns.prompt, into)
    added = _text(value, columns.context, into) if value.get(columns.context) else ""
    asked = f"{asked}\n\n{added}" if added else asked
    into.add({"role": "user", "content": asked}, columns.prompt)
    return f"{system}\n\n{asked}" if system else asked


def _system(value: dict[str, Any], key: str, into: Turns) -> str:
    if not key or not value.get(key):
        return ""
    text = _text(value, key, into)
    into.add({"role": "system", "content": text}, key)
    return text


def _message(role: str, content: Any, place: str, into: Turns) -> None:
    into.add({"role": role, "content": _checked(content, place, into)}, place)


def _text(value: dict[str, Any], key: str, into: Turns) -> str:
    return _checked(value.get(key), key, into)


def _checked(content: Any, place: str, into: Turns) -> str:
    if isinstance(content, str):
        return content
    if content is None:
        into.fatal.append(
            problem("missing_content", place, "nothing", "text", f'Give the row its "{place}".')
        )
    else:
        into.fatal.append(
            problem("non_string_content", place, kind_of(content), "text", "Write it as text.")
        )
    return ""
