"""The shapes that are one conversation: chat, ShareGPT, Alpaca, prompt and completion."""

from __future__ import annotations

from typing import Any

from core.data.problems import RowProblem, listing, problem
from core.data.sample import Conversation
from core.data.shapes.content import read_content
from core.data.shapes.instruction import is_alpaca, read_alpaca, read_completion, spelling
from core.data.shapes.tools import Tool, read_tools
from core.data.shapes.turns import Turns, find_turns, read_turns

Value = dict[str, Any] | list[Any]


def read_conversation(shape: str, value: Value, into: Turns) -> Conversation | None:
    """The conversation in a row of one of these shapes; None where `into` says why there is none.

    How the turns follow each other is not looked at: that is conduct's.
    """
    start, plain = 0, None
    if shape in ("chat", "sharegpt"):
        tools = read_listed(shape, value, into)
    elif not isinstance(value, dict):
        into.fatal.append(wrong_shape(_WANTED[shape], value))
        return None
    else:
        if shape == "alpaca":
            read_alpaca(value, into)
        else:
            start, plain = read_completion(value, into)
        tools = read_tools(value.get("tools"), "tools", into.fatal)
    if into.fatal:
        return None
    return Conversation(into.messages, tools, frozenset(into.unlearned), start, plain)


def read_listed(shape: str, value: Value, into: Turns, inside: str = "") -> list[Tool] | None:
    """Adds the turns that a row lists; returns the tools that it declares.

    `inside` names the object that `value` is in its row, with a dot: "input.".
    """
    found = find_turns(value)
    if found is None:
        wanted = "messages" if shape == "chat" else "conversations"
        into.fatal.append(
            problem(
                "missing_messages",
                f"{inside}{wanted}",
                _keys(value),
                f'a list "{wanted}"',
                "Give the row its messages, or drop it.",
            )
        )
        return None
    name, turns = found
    tools = None
    if isinstance(value, dict):
        if value.get("system"):
            place = f"{inside}system"
            content = read_content(value["system"], place, into.fatal)
            into.add({"role": "system", "content": content}, place)
        declared = "tools" if value.get("tools") else "functions"
        tools = read_tools(value.get(declared), f"{inside}{declared}", into.fatal)
    read_turns(turns, f"{inside}{name}", shape == "chat", into)
    return tools


def conversation_shape(value: Value) -> str | None:
    """Which of these shapes a row has, by its keys; None for none of them."""
    found = find_turns(value)
    if found and (isinstance(found[1], list) or found[0] == "messages"):
        return turns_shape(*found)
    if not isinstance(value, dict):
        return None
    if is_alpaca(value):
        return "alpaca"
    return "prompt_completion" if spelling(value) else None


def turns_shape(key: str, turns: Any) -> str:
    """chat for OpenAI's spelling under `messages` or in a bare list, else sharegpt."""
    listed = turns if isinstance(turns, list) else []
    first = next((turn for turn in listed if isinstance(turn, dict)), {})
    named_otherwise = "role" not in first and ("from" in first or "speaker" in first)
    return "chat" if key in ("messages", "") and not named_otherwise else "sharegpt"


_WANTED = {"alpaca": "instruction and output", "prompt_completion": "prompt and completion"}


def wrong_shape(wanted: str, value: Value) -> RowProblem:
    """A row that has none of the fields that its shape lives on."""
    return problem("missing_content", "", _keys(value), wanted, f"Give the row its {wanted}.")


def _keys(value: Value) -> str:
    if isinstance(value, list):
        return "a list"
    return f"the keys {listing(value)}" if value else "no keys"
