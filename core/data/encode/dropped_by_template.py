"""What a chat template leaves out of a conversation without a word: tools, calls, turns, thoughts.

Found by rendering once more with marked words in their places and looking for those.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from core.data.encode.mask import Rendering
from core.data.encode.template import TemplateRefusal
from core.data.problems import ERROR, WARNING, RowProblem, problem
from core.data.sample import Message

_MARK = "afina_probe_"
Found = tuple[int | None, RowProblem]  # with the index of the message concerned


def left_out(
    template: Rendering,
    messages: list[Message],
    tools: list[dict[str, Any]] | None,
    text: str,
    rewritten: set[int],
) -> Iterator[Found]:
    """The problems of what is in the row and not in the text; `rewritten` answers are known."""
    probed = _probe(template, messages, tools)
    if (
        probed is not None
        and tools
        and not any(f"{_MARK}tool{i}_" in probed for i in range(len(tools)))
    ):
        yield None, _tools_problem(len(tools))
    for index, message in enumerate(messages):
        if probed is not None and message.get("tool_calls"):
            missing = _missing_calls(message, index, probed)
            if missing:
                yield index, _calls_problem(index, missing)
        thinks = message.get("reasoning_content") and index not in rewritten
        if probed is not None and thinks and f"{_MARK}thought{index}_" not in probed:
            yield index, _thinking_problem(index)
        content = message["content"].strip()
        if message["role"] == "system":
            shown = probed is None or f"{_MARK}system{index}_" in probed
        else:
            shown = index in rewritten or "</think>" in content or content in text
        if content and not shown:
            yield index, _content_problem(index, message["role"])


def _probe(
    template: Rendering, messages: list[Message], tools: list[dict[str, Any]] | None
) -> str | None:
    """The text with marks in the places of names and thoughts; None where there are none."""
    marked = [_marked(message, index) for index, message in enumerate(messages)]
    if not tools and marked == messages:
        return None
    named = [_renamed(tool, f"{_MARK}tool{i}_") for i, tool in enumerate(tools)] if tools else None
    try:
        return template.render(marked, named).text
    except TemplateRefusal:
        return None  # it looks closer at them than marks can answer for


def _marked(message: Message, index: int) -> Message:
    changed: Message = {}
    if message["role"] == "system" and message["content"].strip():
        changed["content"] = f"{_MARK}system{index}_"
    if message.get("reasoning_content"):
        changed["reasoning_content"] = f"{_MARK}thought{index}_"
    if message.get("tool_calls"):
        changed["tool_calls"] = [
            _renamed(call, f"{_MARK}call{index}_{place}_")
            for place, call in enumerate(message["tool_calls"])
        ]
    return {**message, **changed} if changed else message


def _renamed(item: dict[str, Any], name: str) -> dict[str, Any]:
    """A tool or a call under another name; a call also with one argument more."""
    function = {**item["function"], "name": name}
    if isinstance(function.get("arguments"), dict):
        function["arguments"] = {**function["arguments"], f"{name}argument": ""}
    return {**item, "function": function}


def _missing_calls(message: Message, index: int, probed: str) -> str:
    """ "calls", "arguments" or "": what of a message's calls is not in the text."""
    for place, call in enumerate(message["tool_calls"]):
        name = f"{_MARK}call{index}_{place}_"
        if probed.count(name) <= probed.count(f"{name}argument"):
            return "calls"
        if isinstance(call["function"].get("arguments"), dict) and f"{name}argument" not in probed:
            return "arguments"
    return ""


def _tools_problem(count: int) -> RowProblem:
    return problem(
        "tools_not_rendered",
        "tools",
        f"{count} tool{'s' if count > 1 else ''} that the chat template leaves out",
        "a template that shows the tools",
        "Use a template with tools, such as chatml or llama3.",
        WARNING,
    )


def _calls_problem(index: int, what: str) -> RowProblem:
    named = "tool calls" if what == "calls" else "the arguments of tool calls"
    return problem(
        "tool_calls_not_rendered",
        f"messages[{index}].tool_calls",
        f"{named} that the chat template leaves out: the model would learn an answer without them",
        "a template that shows them",
        "Use a template with tools, such as chatml or llama3, or drop the row.",
        ERROR,
    )


def _thinking_problem(index: int) -> RowProblem:
    return problem(
        "thinking_not_rendered",
        f"messages[{index}].reasoning_content",
        "thinking that the chat template leaves out",
        "a template that shows it, or an answer without",
        "Use a template with thinking, or take it out of the rows.",
        WARNING,
    )


def _content_problem(index: int, role: str) -> RowProblem:
    return problem(
        "system_not_rendered" if role == "system" else "content_not_rendered",
        f"messages[{index}].content",
        f'a message by "{role}" whose text is not in what the model sees as it stands',
        "a template that shows it",
        "Use another template, or move the text into a message that is shown.",
        WARNING,
    )
