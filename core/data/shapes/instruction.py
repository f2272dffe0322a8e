"""Reads Alpaca rows and the many spellings of prompt and completion into conversations."""

from __future__ import annotations

from typing import Any

import msgspec

from core.data.problems import kind_of, problem
from core.data.shapes.turns import Turns, read_turns

SYSTEM_KEYS = ("system", "system_prompt")


class Columns(msgspec.Struct, frozen=True):
    """The columns of one spelling: what is asked, what is answered, what is added to the prompt."""

    prompt: str
    answer: str
    contexts: tuple[str, ...] = ("context",)


# In this order: the first whose prompt and answer columns are there is taken.
SPELLINGS = (
    Columns("prompt", "completion"),
    Columns("prompt", "response"),
    Columns("question", "answer"),
    Columns("question", "response"),
    Columns("instruction", "response", ("context", "input")),
    Columns("query", "response"),
    Columns("input", "output"),
)
# Those of a prompt whose answers have columns of their own.
PROMPTS = {item.prompt: item for item in SPELLINGS}


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
    _system(value, into)
    _history(value, into)
    text = _asked(value, Columns("instruction", "output", ("input",)), into)
    into.add({"role": "user", "content": text}, "instruction")


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
    """The prompt's messages, and all it says as one text; None where it is several turns."""
    system = _system(value, into)
    _history(value, into)
    if isinstance(value.get(columns.prompt), list):
        read_turns(value[columns.prompt], columns.prompt, True, into)
        return None
    asked = _asked(value, columns, into)
    into.add({"role": "user", "content": asked}, columns.prompt)
    if value.get("history"):
        return None
    return f"{system}\n\n{asked}" if system else asked


def _asked(value: dict[str, Any], columns: Columns, into: Turns) -> str:
    """The question with what is added to it."""
    texts = [_text(value, columns.prompt, into)]
    texts += [_text(value, key, into) for key in columns.contexts if value.get(key)]
    return "\n\n".join(texts)


def _system(value: dict[str, Any], into: Turns) -> str:
    key = next((key for key in SYSTEM_KEYS if value.get(key)), None)
    if key is None:
        return ""
    text = _text(value, key, into)
    into.add({"role": "system", "content": text}, key)
    return text


def _history(value: dict[str, Any], into: Turns) -> None:
    """Earlier questions with their answers, as pairs."""
    history = value.get("history") or []
    if not isinstance(history, list):
        expected = "a list of [user, assistant] pairs"
        fix = "Write the history as pairs, or remove it."
        into.fatal.append(problem("non_string_content", "history", kind_of(history), expected, fix))
        return
    for index, pair in enumerate(history):
        place = f"history[{index}]"
        if isinstance(pair, list) and len(pair) == 2:
            _message("user", pair[0], f"{place}[0]", into)
            _message("assistant", pair[1], f"{place}[1]", into)
            continue
        found = f"a list of {len(pair)}" if isinstance(pair, list) else kind_of(pair)
        fix = "Complete the pair, or remove it."
        into.fatal.append(
            problem("message_missing_key", place, found, "a pair [user, assistant]", fix)
        )


def _message(role: str, content: Any, place: str, into: Turns) -> None:
    into.add({"role": role, "content": _checked(content, place, into)}, place)


def _text(value: dict[str, Any], key: str, into: Turns) -> str:
    return _checked(value.get(key), key, into)


def _checked(content: Any, place: str, into: Turns) -> str:
    if isinstance(content, str):
        return content
    if content is None:
        fix = f'Give the row its "{place}".'
        into.fatal.append(problem("missing_content", place, "nothing", "text", fix))
    else:
        found = kind_of(content)
        into.fatal.append(problem("non_string_content", place, found, "text", "Write it as text."))
    return ""
