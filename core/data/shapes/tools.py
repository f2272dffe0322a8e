"""Reads tools and tool calls: JSON text on disk, objects for chat templates."""

from __future__ import annotations

from typing import Any

import msgspec

from core.data.problems import RowProblem, kind_of, problem, shorten

Tool = dict[str, Any]


def read_tools(value: Any, place: str, into: list[RowProblem]) -> list[Tool] | None:
    """The tools a row declares, as {"type": "function", "function": {"name", ...}}, or None."""
    if isinstance(value, str):
        if not value.strip():
            return None
        value = _parse(value, place, "a list of tools as JSON text", into)
    if value is None or value == []:
        return None
    tools = []
    for index, tool in enumerate(value if isinstance(value, list) else [value]):
        if isinstance(tool, dict) and "function" not in tool and "name" in tool:
            named = {key: part for key, part in tool.items() if key != "type"}
            tool = {"type": "function", "function": named}
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            into.append(
                _bad_call(
                    f"{place}[{index}]", kind_of(tool), "a function with a name", "Name the tool."
                )
            )
        else:
            tools.append(tool)
    return tools


def legacy_call(call: Any) -> list[Any]:
    """OpenAI's old `function_call` as a list of tool calls."""
    return [{"type": "function", "function": call}]


def read_calls(value: Any, place: str, into: list[RowProblem]) -> list[dict[str, Any]]:
    """Tool calls with their arguments as objects."""
    if not isinstance(value, list):
        into.append(
            _bad_call(place, kind_of(value), "a list of calls", "Write the calls as a list.")
        )
        return []
    calls = []
    for index, call in enumerate(value):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            found = kind_of(call) if not isinstance(call, dict) else "a call without function.name"
            into.append(
                _bad_call(f"{place}[{index}]", found, "function.name", "Name the function.")
            )
            continue
        where = f"{place}[{index}].function.arguments"
        arguments = _arguments(function.get("arguments"), where, into)
        name = {"name": function["name"], "arguments": arguments}
        calls.append({**_identity(call), "type": "function", "function": name})
    return calls


def read_call_text(value: Any, place: str, into: list[RowProblem]) -> list[dict[str, Any]]:
    """ShareGPT's function_call turn: JSON text {"name", "arguments"}, or a list of such."""
    if isinstance(value, str):
        value = _parse(value, place, '{"name": ..., "arguments": {...}} as JSON text', into)
        if value is None:
            return []
    calls = value if isinstance(value, list) else [value]
    return read_calls(
        [
            {"function": call.get("function", call)} if isinstance(call, dict) else call
            for call in calls
        ],
        place,
        into,
    )


def _identity(call: dict[str, Any]) -> dict[str, Any]:
    return {"id": call["id"]} if isinstance(call.get("id"), str) else {}


def _arguments(value: Any, place: str, into: list[RowProblem]) -> dict[str, Any]:
    if value is None or value == "":
        return {}
    parsed = (
        _parse(value, place, "an object as JSON text", into) if isinstance(value, str) else value
    )
    if isinstance(parsed, dict):
        return parsed
    if parsed is not None:
        into.append(
            _bad_call(place, kind_of(parsed), "an object", "Write the arguments as an object.")
        )
    return {}


def _parse(text: str, place: str, expected: str, into: list[RowProblem]) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        into.append(_bad_call(place, shorten(text), expected, "Correct the JSON."))
        return None


def _bad_call(place: str, found: str, expected: str, fix: str) -> RowProblem:
    return problem("bad_tool_call", place, found, expected, fix)
