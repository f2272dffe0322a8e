"""How a row of a known shape becomes a sample, with every problem of its form."""

from __future__ import annotations

from typing import Any

import msgspec

from core.data.files.source import Row
from core.data.problems import RowRefused, kind_of, problem
from core.data.sample import Conversation, Reading, Sample, Text
from core.data.shapes.conduct import CONTROL, conduct_problems, control_problem
from core.data.shapes.detect import MEDIA_KEYS, TEXT_KEYS
from core.data.shapes.instruction import read_alpaca, read_completion
from core.data.shapes.tools import read_tools
from core.data.shapes.turns import Turns, find_turns, media_problem, read_turns


class Reader(msgspec.Struct, frozen=True):
    """How the rows of one file are read: their shape, and for the shape "template" the template."""

    shape: str
    prompt_template: str | None = None  # "### Question: {prompt}\n### Answer: {response}"

    def read(self, row: Row) -> Reading:
        """The sample in a row, if it can become one, with every problem of the row's form."""
        if row.problem is not None or row.value is None:
            return Reading(None, [row.problem] if row.problem else [])
        return read_sample(self.shape, row.value)


def to_sample(shape: str, value: dict[str, Any] | list[Any]) -> Sample:
    """The sample in a row; raises RowRefused with the problems that stand in its way."""
    reading = read_sample(shape, value)
    if reading.sample is None:
        raise RowRefused(reading.problems)
    return reading.sample


def read_sample(shape: str, value: dict[str, Any] | list[Any]) -> Reading:
    """The sample in a row, if it can become one, with every problem of the row's form."""
    into = Turns()
    if isinstance(value, dict):
        for key in MEDIA_KEYS:
            if value.get(key):
                into.fatal.append(media_problem(key, kind_of(value[key])))
    if shape == "text":
        return _read_text(value, into)
    tools, start, plain = None, 0, None
    if shape in ("chat", "sharegpt"):
        tools = _read_conversation(shape, value, into)
    elif not isinstance(value, dict):
        into.fatal.append(_wrong_shape(shape, value))
    elif shape == "alpaca":
        read_alpaca(value, into)
    elif shape == "prompt_completion":
        start, plain = read_completion(value, into)
        tools = read_tools(value.get("tools"), "tools", into.fatal)
    else:
        raise AssertionError(shape)
    if into.fatal:
        return Reading(None, into.fatal + into.problems)
    sample = Conversation(into.messages, tools, frozenset(into.unlearned), start, plain)
    return Reading(sample, into.problems + conduct_problems(sample, into.places))


def _read_conversation(
    shape: str, value: dict[str, Any] | list[Any], into: Turns
) -> list[dict[str, Any]] | None:
    found = find_turns(value)
    if found is None:
        wanted = "messages" if shape == "chat" else "conversations"
        keys = ", ".join(map(str, value)) or "none"
        into.fatal.append(
            problem(
                "missing_messages",
                wanted,
                f"the keys {keys}"[:120],
                f'a list "{wanted}"',
                "Give the row its messages, or drop it.",
            )
        )
        return None
    name, turns = found
    tools = None
    if isinstance(value, dict):
        if value.get("system") and isinstance(value["system"], str):
            into.add({"role": "system", "content": value["system"]}, "system")
        declared = "tools" if value.get("tools") else "functions"
        tools = read_tools(value.get(declared), declared, into.fatal)
    read_turns(turns, name, shape == "chat", into)
    return tools


def _read_text(value: dict[str, Any] | list[Any], into: Turns) -> Reading:
    key = next((key for key in TEXT_KEYS if isinstance(value, dict) and key in value), None)
    text = value[key] if key and isinstance(value, dict) else None
    if not key:
        into.fatal.append(_wrong_shape("text", value))
    elif not isinstance(text, str):
        check = "missing_content" if text is None else "non_string_content"
        into.fatal.append(problem(check, key, kind_of(text), "text", "Write it as text."))
    elif not text.strip():
        into.fatal.append(
            problem(
                "empty_content", key, "white space" if text else "no text", "text", "Drop the row."
            )
        )
    if into.fatal or not isinstance(text, str):
        return Reading(None, into.fatal)
    match = CONTROL.search(text)
    return Reading(Text(text), [control_problem(key or "", match)] if match else [])


def _wrong_shape(shape: str, value: Any) -> Any:
    wanted = {
        "alpaca": "instruction and output",
        "prompt_completion": "prompt and completion",
        "text": "text",
    }[shape]
    keys = ", ".join(map(str, value)) if isinstance(value, dict) else "a list"
    return problem(
        "missing_content", "", f"the keys {keys}"[:120], wanted, f"Give the row its {wanted}."
    )
