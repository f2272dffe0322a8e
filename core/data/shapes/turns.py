"""Reads turns, in OpenAI's words or ShareGPT's, into messages for chat templates."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec

from core.data.problems import WARNING, RowProblem, kind_of, listing, problem, shorten
from core.data.sample import Message
from core.data.shapes.content import MEDIA_KEYS, media_problem, missing_content, read_content
from core.data.shapes.tools import legacy_call, read_call_text, read_calls

TURN_KEYS = ("messages", "conversations", "conversation", "chat", "dialogue", "dialog", "turns")
ROLE_KEYS = ("role", "from", "speaker")
CONTENT_KEYS = ("content", "value", "text")
REASONING_KEYS = ("reasoning_content", "thinking", "reasoning")
# Of a row in OpenAI's shape. Those that keep a file in order are no part of what is learned.
CHAT_ROW_KEYS = ("messages", "tools", "functions", "parallel_tool_calls", "system")
QUIET_KEYS = frozenset(
    (
        *("messages", "id", "idx", "index", "uuid", "source", "metadata", "dataset", "split"),
        *("language", "category", "url", "license"),
    )
)
_ROW_KEYS = QUIET_KEYS.union(CHAT_ROW_KEYS, MEDIA_KEYS)
_CHAT_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_CHAT_KEYS = frozenset(
    (
        *("role", "content", "name", "weight", "tool_calls", "tool_call_id", "function_call"),
        *("refusal", "audio", "annotations"),
        *REASONING_KEYS,
    )
)
_KNOWN_KEYS = "one of " + ", ".join(sorted(_CHAT_KEYS))  # one text for however many problems
_SHAREGPT_ROLES = {
    **dict.fromkeys(("human", "user", "prompter"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "bot", "model"), "assistant"),
    **dict.fromkeys(("system",), "system"),
    **dict.fromkeys(("developer",), "developer"),
    **dict.fromkeys(("function_call", "tool_call"), "function_call"),
    **dict.fromkeys(("observation", "tool", "function", "function_response"), "tool"),
}
_PLAIN_KEYS = ("role", "content")
_SPOKEN_KEYS = frozenset((*ROLE_KEYS, *CONTENT_KEYS))
# What is text beside the content, and what templates call it.
_TEXT_KEYS = {
    **{"name": "name", "tool_call_id": "tool_call_id"},
    **dict.fromkeys(REASONING_KEYS, "reasoning_content"),
}


class Turns(msgspec.Struct):
    """Messages with the place each came from, and what was wrong with them on the way."""

    messages: list[Message] = msgspec.field(default_factory=list)
    places: list[str] = msgspec.field(default_factory=list)  # "messages[2]", one per message
    unlearned: set[int] = msgspec.field(default_factory=set)
    fatal: list[RowProblem] = msgspec.field(default_factory=list)
    problems: list[RowProblem] = msgspec.field(
        default_factory=list
    )  # those that do not stop the row

    def add(self, message: Message, place: str) -> None:
        self.messages.append(message)
        self.places.append(place)


def find_turns(value: dict[str, Any] | list[Any]) -> tuple[str, Any] | None:
    """The field that holds the turns and what is in it; the field is empty for a bare list."""
    if isinstance(value, list):
        return "", value
    return next(((key, unfold(value[key])) for key in TURN_KEYS if key in value), None)


def unfold(value: Any) -> Any:
    """The list that a cell of a table holds as JSON text; any other value as it is."""
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        with suppress(msgspec.DecodeError, RecursionError, ValueError):
            return msgspec.json.decode(value)
    return value


def read_turns(turns: Any, place: str, openai: bool, into: Turns) -> None:
    """Reads a list of turns; strict about keys and roles in OpenAI's shape, else lenient."""
    if not isinstance(turns, list) or not turns:
        found = "an empty list" if turns == [] else kind_of(turns)
        fix = "Give the row its messages."
        into.fatal.append(problem("missing_messages", place, found, "a list of messages", fix))
        return
    for index, turn in enumerate(turns):
        _read_turn(turn, f"{place}[{index}]", openai, into)


def _read_turn(turn: Any, place: str, openai: bool, into: Turns) -> None:
    if not isinstance(turn, dict):
        expected = f"an object with {'role and content' if openai else 'from and value'}"
        fix = f"Write the message as {expected}."
        into.fatal.append(problem("message_missing_key", place, kind_of(turn), expected, fix))
        return
    role = _role(turn, place, openai, into)
    if role is None:
        return
    if role == "function_call":
        text = next((turn[key] for key in CONTENT_KEYS if key in turn), None)
        message: Message = {"role": "assistant", "content": ""}
        message["tool_calls"] = read_call_text(text, f"{place}.value", into.fatal)
    else:
        message = {"role": "tool" if role == "function" else role}
        message["content"] = _content(turn, place, openai, into)
    for key in turn:
        if key not in _SPOKEN_KEYS and turn[key] is not None:
            _read_extra(key, turn, message, place, into)
        elif openai and key not in _PLAIN_KEYS:
            _refuse_key(key, place, into)
    into.add(message, place)


def _role(turn: Message, place: str, openai: bool, into: Turns) -> str | None:
    if openai and (role := turn.get("role")) in _CHAT_ROLES:
        return role
    key = next((key for key in (("role",) if openai else ROLE_KEYS) if key in turn), None)
    if key is None:
        wanted = "role" if openai else "from"
        found = f"the keys {listing(turn)}" if turn else "an empty object"
        fix = f'Add "{wanted}": "user" or "assistant".' if openai else 'Add "from".'
        into.fatal.append(
            problem(
                "message_missing_key",
                f"{place}.{wanted}",
                found,
                f'the key "{wanted}"',
                fix,
            )
        )
        return None
    role = turn[key]
    known = _CHAT_ROLES if openai else _SHAREGPT_ROLES
    if not isinstance(role, str) or role not in known:
        expected = "one of " + ", ".join(known)
        found = kind_of(role) if isinstance(role, dict | list) else shorten(role)
        into.fatal.append(
            problem("unrecognized_role", f"{place}.{key}", found, expected, "Rename the role.")
        )
        return None
    return role if openai else _SHAREGPT_ROLES[role]


def _content(turn: Message, place: str, openai: bool, into: Turns) -> str:
    """The content as text; "" stands for null beside tool calls."""
    if openai and type(content := turn.get("content")) is str:
        return content
    if openai:
        key = "content" if "content" in turn else None
    else:
        key = next((key for key in CONTENT_KEYS if key in turn), None)
    content = turn[key] if key else None
    if isinstance(content, str):
        return content
    place = f"{place}.{key or ('content' if openai else 'value')}"
    if content is not None:
        return read_content(content, place, into.fatal)
    if not turn.get("tool_calls") and not turn.get("function_call"):
        into.fatal.append(missing_content(place, "null" if key else "no content"))
    return ""


def _read_extra(key: str, turn: Message, message: Message, place: str, into: Turns) -> None:
    """What stands beside role and content: a name, reasoning, calls, the weight, a wrong key."""
    value = turn[key]
    if key in _TEXT_KEYS:
        if not isinstance(value, str):
            fix = "Write it as text, or drop it."
            where, found = f"{place}.{key}", kind_of(value)
            into.problems.append(problem("non_string_content", where, found, "text", fix))
        else:
            message.setdefault(_TEXT_KEYS[key], value)
    elif key == "weight":
        if value == 0:
            into.unlearned.add(len(into.messages))
        elif value != 1:
            found = kind_of(value) if isinstance(value, dict | list) else shorten(value)
            fix = "Use 0 or 1."
            where = f"{place}.weight"
            into.problems.append(problem("bad_weight", where, found, "0 or 1", fix, WARNING))
    elif key in ("tool_calls", "function_call"):
        if value and "tool_calls" not in message:
            _read_calls(key, value, message, f"{place}.{key}", into)
    elif key == "audio":
        into.fatal.append(media_problem(f"{place}.audio", kind_of(value)))
    elif key not in _CHAT_KEYS:
        _refuse_key(key, place, into)


def _read_calls(key: str, value: Any, message: Message, place: str, into: Turns) -> None:
    """Calls of tools, also in the old spelling; only the assistant makes any."""
    if message["role"] == "assistant":
        listed = value if key == "tool_calls" else legacy_call(value)
        message["tool_calls"] = read_calls(listed, place, into.fatal)
    else:
        found = f'a call by "{message["role"]}"'
        fix = "Give the call to the assistant, or drop it."
        into.fatal.append(problem("bad_tool_call", place, found, "calls by the assistant", fix))


def _refuse_key(key: str, place: str, into: Turns) -> None:
    into.problems.append(
        problem(
            "unrecognized_key",
            f"{place}.{key[:60]}",
            f"the key {shorten(key)}",
            _KNOWN_KEYS,
            "Remove the key, or move it out of the message.",
        )
    )


def row_key_problems(value: dict[str, Any]) -> list[RowProblem]:
    """The keys of a row in OpenAI's shape that say something, and nobody reads it."""
    return [
        problem(
            "unrecognized_key",
            key[:60],
            f"the key {shorten(key)}",
            "one of " + ", ".join(CHAT_ROW_KEYS),
            "Remove the key if the model is to know what it says: it is not read.",
            WARNING,
        )
        for key, beside in value.items()
        if beside and key not in _ROW_KEYS and not key.endswith("_id")
    ]
