"""`broken.jsonl`: chat rows of which each has one problem, with the check that should name it.

Written line by line as bytes, for some of them are no JSON and one is no UTF-8.
"""

from __future__ import annotations

import json
from typing import Any

Line = tuple[str, bytes]  # the check that should speak up ("" for a good row), the line
ASK = {"role": "user", "content": "What should I eat in Lisbon?"}
SAY = {"role": "assistant", "content": "Try pastéis de nata in Lisbon."}
TOOL = {
    "type": "function",
    "function": {
        "name": "best_months",
        "description": "The best months to visit a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def broken_lines() -> list[Line]:
    """Every line of the file, in order."""
    return [
        ("", _row(ASK, SAY)),
        ("invalid_json", _row(ASK, SAY)[:-9]),
        ("invalid_json", b"not JSON at all"),
        ("not_an_object", b'"What should I eat in Lisbon?"'),
        ("not_an_object", b"42"),
        ("bad_encoding", _row(ASK, SAY).replace("é".encode(), b"\xe9")),
        ("missing_messages", _json({"title": "Lisbon", "notes": "no turns here"})),
        ("missing_messages", _json({"messages": []})),
        ("message_missing_key", _row({"content": "What should I see in Porto?"}, SAY)),
        ("unrecognized_key", _row(ASK | {"content": "I am hungry.", "mood": "hungry"}, SAY)),
        ("unrecognized_role", _row({"role": "robot", "content": "Beep."}, SAY)),
        ("missing_content", _row(ASK, {"role": "assistant"})),
        ("non_string_content", _row({"role": "user", "content": 28}, SAY)),
        ("no_assistant_message", _row(ASK)),
        ("last_turn_not_assistant", _row(ASK, SAY, {"role": "user", "content": "And in Porto?"})),
        ("consecutive_same_role", _row(ASK, {"role": "user", "content": "Quickly!"}, SAY)),
        ("empty_content", _row({"role": "user", "content": "And in Rome?"}, SAY | {"content": ""})),
        *_tool_lines(),
        *_text_lines(),
    ]


def _tool_lines() -> list[Line]:
    user = {"role": "user", "content": "When should I visit Rome?"}
    last = {"role": "assistant", "content": "The best time to visit Rome is April to May."}
    result = {"role": "tool", "tool_call_id": "call_1", "content": '{"months": "April to May"}'}
    return [
        ("", _row(user, _call("best_months", '{"city": "Rome"}'), result, last, tools=[TOOL])),
        (
            "bad_tool_call",
            _row(user, _call("best_months", '{"city": "Rome"'), result, last, tools=[TOOL]),
        ),
        (
            "unknown_tool",
            _row(user, _call("worst_months", '{"city": "Rome"}'), result, last, tools=[TOOL]),
        ),
        ("tool_result_without_call", _row(user, result, last, tools=[TOOL])),
    ]


def _text_lines() -> list[Line]:
    sight = {"role": "user", "content": "What should I see in Rome?"}
    colosseum = {"role": "assistant", "content": "See the Colosseum in Rome."}
    colours = colosseum | {"content": "See the \x1b[31mColosseum\x1b[0m in Rome.\x07"}
    markup = {"role": "user", "content": "[bold red]Is Rome[/] [link=x]nice[/link] in April?"}
    notes = "\n".join(f"Day {day}: we walked, we ate, we slept." for day in range(1, 201))
    long = {"role": "user", "content": f"Here is my diary.\n{notes}\nWhat should I see in Rome?"}
    april = {"role": "assistant", "content": "The best time to visit Rome is April to May."}
    return [
        ("exact_duplicate", _row(ASK, SAY)),
        ("control_characters", _row(sight, colours)),
        ("", _row(markup, april)),
        ("prompt_fills_max_length", _row(long, colosseum)),
        ("zero_supervised_tokens", _row(sight | {"content": "Rome?"}, colosseum | {"weight": 0})),
    ]


def _call(name: str, arguments: str) -> dict[str, Any]:
    call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def _row(*messages: dict[str, Any], **more: Any) -> bytes:
    return _json({"messages": list(messages), **more})


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
