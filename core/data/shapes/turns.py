"""Reads turns, in OpenAI's words or ShareGPT's, into messages for chat templates."""

from __future__ import annotations

from typing import Any

import msgspec

from core.data.problems import WARNING, RowProblem, kind_of, problem, shorten
from core.data.sample import Message
from core.data.shapes.tools import legacy_call, read_call_text, read_calls

TURN_KEYS = ("messages", "conversations", "conversation", "chat", "dialogue", "dialog", "turns")
ROLE_KEYS = ("role", "from", "speaker")
CONTENT_KEYS = ("content", "value", "text")
REASONING_KEYS = ("reasoning_content", "thinking", "reasoning")
_CHAT_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_CHAT_KEYS = {
    *("role", "content", "name", "weight", "tool_calls", "tool_call_id", "function_call"),
    *("refusal", "audio", "annotations"),
    *REASONING_KEYS,
}
_SHAREGPT_KEYS = {*ROLE_KEYS, *CONTENT_KEYS, *_CHAT_KEYS}
_SHAREGPT_ROLES = {
    **dict.fromkeys(("human", "user", "prompter"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "bot", "model"), "assistant"),
    **dict.fromkeys(("system",), "system"),
    **dict.fromkeys(("developer",), "developer"),
    **dict.fromkeys(("function_call", "tool_call"), "function_call"),
    **dict.fromkeys(("observation", "tool", "function", "function_response"), "tool"),
}
_MEDIA_PARTS = ("image", "audio", "video", "file")


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
    return next(((key, value[key]) for key in TURN_KEYS if key in value), None)


def read_turns(turns: Any, place: str, openai: bool, into: Turns) -> None:
    """Reads a list of turns; strict about keys and roles in OpenAI's shape, else lenient."""
    if not isinstance(turns, list) or not turns:
        found = "an empty list" if turns == [] else kind_of(turns)
        into.fatal.append(
            problem(
                "missing_messages", place, found, "a list of messages", "Give the row its messages."
            )
        )
        return
    for index, turn in enumerate(turns):
        _read_turn(turn, f"{place}[{index}]", openai, into)


def _read_turn(turn: Any, place: str, openai: bool, into: Turns) -> None:
    expected = "role and content" if openai else "from and value"
    if not isinstance(turn, dict):
        into.fatal.append(
            problem(
                "message_missing_key",
                place,
                kind_of(turn),
                f"an object with {expected}",
                f"Write the message as an object with {expected}.",
            )
        )
        return
    role = _role(turn, place, openai, into)
    known = _CHAT_KEYS if openai else _SHAREGPT_KEYS
    for key in turn.keys() - known if role else ():
        into.problems.append(
            problem(
                "unrecognized_key",
                f"{place}.{key}",
                f'the key "{key}"',
                "one of " + ", ".join(sorted(_CHAT_KEYS if openai else {"from", "value"})),
                "Remove the key, or move it out of the message.",
            )
        )
    if role is None:
        return
    if role == "function_call":
        text = _pick(turn, CONTENT_KEYS)
        message: Message = {"role": "assistant", "content": ""}
        message["tool_calls"] = read_call_text(text, f"{place}.value", into.fatal)
    else:
        message = {"role": "tool" if role == "function" else role}
        message["content"] = _content(turn, place, openai, into)
        _read_extras(turn, message, place, into)
    weight = turn.get("weight")
    if weight is not None and weight not in (0, 1):
        into.problems.append(
            problem(
                "bad_weight", f"{place}.weight", shorten(weight), "0 or 1", "Use 0 or 1.", WARNING
            )
        )
    if weight == 0:
        into.unlearned.add(len(into.messages))
    into.add(message, place)


def _read_extras(turn: Message, message: Message, place: str, into: Turns) -> None:
    """Names, reasoning and tool calls beside the content."""
    for key in ("name", "tool_call_id"):
        if isinstance(turn.get(key), str):
            message[key] = turn[key]
    for key in REASONING_KEYS:
        if isinstance(turn.get(key), str):
            message["reasoning_content"] = turn[key]
            break
    if turn.get("tool_calls"):
        message["tool_calls"] = read_calls(turn["tool_calls"], f"{place}.tool_calls", into.fatal)
    elif turn.get("function_call"):
        calls = legacy_call(turn["function_call"])
        message["tool_calls"] = read_calls(calls, f"{place}.function_call", into.fatal)


def _role(turn: Message, place: str, openai: bool, into: Turns) -> str | None:
    key = next((key for key in (("role",) if openai else ROLE_KEYS) if key in turn), None)
    if key is None:
        wanted = "role" if openai else "from"
        found = "the keys " + ", ".join(map(str, turn)) if turn else "an empty object"
        into.fatal.append(
            problem(
                "message_missing_key",
                f"{place}.{wanted}",
                shorten(found, 80),
                f'the key "{wanted}"',
                f'Add "{wanted}": "user" or "assistant".' if openai else 'Add "from".',
            )
        )
        return None
    role = turn[key]
    known = _CHAT_ROLES if openai else tuple(_SHAREGPT_ROLES)
    if not isinstance(role, str) or role not in known:
        into.fatal.append(
            problem(
                "unrecognized_role",
                f"{place}.{key}",
                shorten(role),
                "one of " + ", ".join(known),
                "Rename the role.",
            )
        )
        return None
    return role if openai else _SHAREGPT_ROLES[role]


def _content(turn: Message, place: str, openai: bool, into: Turns) -> str:
    """The content as text; "" stands for null beside tool calls."""
    keys = ("content",) if openai else CONTENT_KEYS
    key = next((key for key in keys if key in turn), None)
    content = turn[key] if key else None
    if isinstance(content, str):
        return content
    place = f"{place}.{key or keys[0] if openai else key or 'value'}"
    if content is None:
        if not turn.get("tool_calls") and not turn.get("function_call"):
            into.fatal.append(
                problem(
                    "missing_content",
                    place,
                    "null" if key else "no content",
                    "text",
                    "Write the message's text, or drop the message.",
                )
            )
        return ""
    if isinstance(content, list):
        return "".join(_part(part, f"{place}[{index}]", into) for index, part in enumerate(content))
    into.fatal.append(
        problem("non_string_content", place, kind_of(content), "text", "Write the content as text.")
    )
    return ""


def _part(part: Any, place: str, into: Turns) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type", "text") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return part["text"]
    if isinstance(kind, str) and any(word in kind for word in _MEDIA_PARTS):
        into.fatal.append(media_problem(place, f'a part of type "{kind}"'))
    else:
        into.fatal.append(
            problem(
                "non_string_content",
                place,
                kind_of(part) if not isinstance(kind, str) else f'a part of type "{kind}"',
                '{"type": "text", "text": ...}',
                "Keep only parts of text.",
            )
        )
    return ""


def media_problem(place: str, found: str) -> RowProblem:
    """A row with an image, sound or film in it: Afina tunes on text only and says so."""
    return problem(
        "unsupported_media",
        place,
        found,
        "text only",
        "Drop the row, or describe the medium in words.",
    )


def _pick(turn: Message, keys: tuple[str, ...]) -> Any:
    return next((turn[key] for key in keys if key in turn), None)
