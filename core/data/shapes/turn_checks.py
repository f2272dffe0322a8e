"""How turns follow each other: who speaks last, who speaks twice, who answers which call."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from core.data.problems import ERROR, NOTE, WARNING, RowProblem, listing, problem, shorten
from core.data.sample import Conversation, Message

# What is no control character: not C0 (but for tab, newline and carriage return), DEL or C1. The
# possessive run over the whole text is twice as fast as a search for the others.
is_clean = re.compile("[\t\n\r -~\xa0-\U0010ffff]*+").fullmatch
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def conduct_problems(sample: Conversation, places: list[str]) -> list[RowProblem]:
    """The problems of a conversation of well formed messages; `places` names each one's field."""
    found = list(_answer(sample, places))
    calls, before = False, ""
    for index, message in enumerate(sample.messages):
        role, content = message["role"], message["content"]
        if role == before and role != "tool":
            found.append(_twice(role, places[index]))
        if not content or content.isspace():
            found.extend(_empty(message, places[index]))
        if not is_clean(content):
            found.extend(control_problems(content, places[index]))
        calls = calls or role == "tool" or "tool_calls" in message
        before = role
    if calls:
        found.extend(_calls(sample, places))
    return found


def _answer(sample: Conversation, places: list[str]) -> Iterator[RowProblem]:
    """Whether there is an answer, and whether it has the last word."""
    roles = [message["role"] for message in sample.messages]
    if "assistant" not in roles[sample.learn_from :]:
        yield problem(
            "no_assistant_message",
            places[0].split("[")[0],
            "the roles " + ", ".join(dict.fromkeys(roles)),
            "at least one assistant message",
            "Add the answer, or drop the row.",
        )
    elif roles[-1] != "assistant":
        yield problem(
            "last_turn_not_assistant",
            places[-1],
            f'a last turn by "{roles[-1]}"',
            "an assistant message at the end",
            "Drop the last turn, or add the answer.",
            WARNING,
        )


def _twice(role: str, place: str) -> RowProblem:
    return problem(
        "consecutive_same_role",
        place,
        f'two turns by "{role}" in a row',
        "turns that alternate",
        "Join the two turns.",
        WARNING,
    )


def _empty(message: Message, place: str) -> Iterator[RowProblem]:
    if not message.get("tool_calls") and message["role"] != "tool":
        yield problem(
            "empty_content",
            place,
            "white space" if message["content"] else "no text",
            "text",
            "Write the text, or drop the turn.",
            ERROR if message["role"] == "assistant" else WARNING,
        )


def control_problems(text: str, place: str) -> list[RowProblem]:
    """A note about the first control character: it is learned like any other character."""
    if is_clean(text):
        return []
    match = _CONTROL.search(text)
    assert match is not None
    return [
        problem(
            "control_characters",
            place,
            f"U+{ord(match.group()):04X} at character {match.start() + 1}",
            "text without control characters",
            "Remove it, unless the model is to write it.",
            NOTE,
        )
    ]


def _calls(sample: Conversation, places: list[str]) -> Iterator[RowProblem]:
    """Calls of tools that the row does not declare, and results that nobody asked for."""
    declared = {tool["function"]["name"] for tool in sample.tools or ()}
    open_calls: list[dict[str, Any]] = []
    for message, place in zip(sample.messages, places, strict=True):
        if message["role"] == "tool":
            if not _answers(message, open_calls):
                yield problem(
                    "tool_result_without_call",
                    place,
                    f"a result for {shorten(message['tool_call_id'])}"
                    if message.get("tool_call_id")
                    else "a result",
                    "an earlier call by the assistant",
                    "Add the call, or drop the result.",
                )
            continue
        if message["role"] == "assistant":
            open_calls = list(message.get("tool_calls", ()))
        for call in open_calls if declared and message["role"] == "assistant" else ():
            if (name := call["function"]["name"]) not in declared:
                yield problem(
                    "unknown_tool",
                    f"{place}.tool_calls",
                    f"a call of {shorten(name)}",
                    "one of " + listing(sorted(declared)),
                    "Correct the name, or declare the tool.",
                )


def _answers(result: Message, calls: list[dict[str, Any]]) -> bool:
    """Whether a result belongs to one of the calls, by its id where both have ids."""
    wanted = result.get("tool_call_id")
    ids = [call["id"] for call in calls if "id" in call]
    return wanted in ids if wanted and ids else bool(calls)
