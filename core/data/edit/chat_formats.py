"""The turns of a conversation in other words: OpenAI's, ShareGPT's, Alpaca's, TRL's.

Each function appends to `lost` what its form has no place for, and raises Unfit where the form has
no place for the row at all. The names of both are explained in core.data.edit.convert.
"""

from __future__ import annotations

import json
from typing import Any

from core.data.sample import Conversation, Message

Value = dict[str, Any]
_CARRIED = ("name", "reasoning_content")  # keys that OpenAI's and TRL's messages share


class Unfit(Exception):
    """A row that a form has no place for; the first argument says which part of it, in a word."""


def openai_messages(turns: Conversation, messages: list[Message], start: int = 0) -> list[Value]:
    """Messages as OpenAI's files have them: arguments as JSON text, every call with an id.

    `start` is the index of the first one in its conversation, for the weights. Answers that are
    prompt only (before `learn_from`) get weight 0, which means the same.
    """
    out: list[Value] = []
    open_ids: list[str] = []
    for index, message in enumerate(messages, start):
        value: Value = {"role": message["role"], "content": message["content"]}
        value |= {key: message[key] for key in _CARRIED if key in message}
        if message["role"] == "tool":
            answered = message.get("tool_call_id") or (open_ids[0] if open_ids else None)
            if answered:
                value["tool_call_id"] = answered
            if answered in open_ids:
                open_ids.remove(answered)
        if calls := message.get("tool_calls"):
            value["content"] = message["content"] or None
            value["tool_calls"] = [_call(call, f"call_{index}_{n}") for n, call in enumerate(calls)]
            open_ids = [call["id"] for call in value["tool_calls"]]
        if index in turns.unlearned or (
            index < turns.learn_from and message["role"] == "assistant"
        ):
            value["weight"] = 0
        out.append(value)
    return out


def _call(call: Value, spare_id: str) -> Value:
    function = call["function"]
    arguments = json.dumps(function["arguments"], ensure_ascii=False)
    named = {"name": function["name"], "arguments": arguments}
    return {"id": call.get("id", spare_id), "type": "function", "function": named}


def trl_messages(messages: list[Message]) -> list[Value]:
    """Messages as TRL hands them to a chat template: arguments are objects.

    TRL 1.x, "Dataset formats and types" and "Tool calling" of its documentation.
    """
    kept = ("role", "content", "tool_calls", "tool_call_id", *_CARRIED)
    return [{key: message[key] for key in kept if key in message} for message in messages]


def sharegpt_turns(messages: list[Message], lost: list[str]) -> list[Value]:
    """Turns of "from" and "value" in the words of LLaMA-Factory's ShareGPT format."""
    return [_turn(message, lost) for message in messages]


_FROM = {"user": "human", "assistant": "gpt", "tool": "observation", "developer": "system"}


def _turn(message: Message, lost: list[str]) -> Value:
    role = message["role"]
    note_losses(message, lost)
    if calls := message.get("tool_calls"):
        if message["content"].strip():
            raise Unfit("text_beside_call")
        bare = [
            {"name": call["function"]["name"], "arguments": call["function"]["arguments"]}
            for call in calls
        ]
        value = json.dumps(bare[0] if len(bare) == 1 else bare, ensure_ascii=False)
        return {"from": "function_call", "value": value}
    return {"from": _FROM.get(role, role), "value": message["content"]}


def note_losses(message: Message, lost: list[str]) -> None:
    """What a form of plain turns has no place for in a message."""
    if message["role"] == "developer":
        lost.append("developer")
    if "name" in message:
        lost.append("name")
    if message.get("reasoning_content"):
        lost.append("thinking")
    if "tool_call_id" in message or any("id" in call for call in message.get("tool_calls", ())):
        lost.append("call_id")


def sharegpt_head(turns: Conversation, lost: list[str]) -> tuple[Value, int]:
    """The fields beside the turns, and how many messages they stand for."""
    head: Value = {}
    first = turns.messages[0] if turns.messages else {}
    taken = int(first.get("role") in ("system", "developer") and bool(first["content"].strip()))
    if taken:
        note_losses(first, lost)
        head["system"] = first["content"]
    if turns.tools:
        head["tools"] = json.dumps(turns.tools, ensure_ascii=False)
    return head, taken


def alpaca_prompt(turns: Conversation, end: int, lost: list[str]) -> Value:
    """system, history, instruction and input for the messages before `end`."""
    messages = turns.messages[:end]
    if turns.tools or any(_uses_tools(message) for message in turns.messages):
        raise Unfit("tools")
    for message in turns.messages:
        note_losses(message, lost)
    value: Value = {}
    if messages and messages[0]["role"] in ("system", "developer"):
        if messages[0]["content"]:
            value["system"] = messages[0]["content"]
        messages = messages[1:]
    roles = [message["role"] for message in messages]
    if roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        raise Unfit("turn_order")
    said = [message["content"] for message in messages]
    if len(said) > 1:
        value["history"] = [list(pair) for pair in zip(said[:-1:2], said[1::2], strict=True)]
    # One instruction: Alpaca's "input" is joined to it by an empty line, so it stays empty.
    return {**value, "instruction": said[-1], "input": ""}


def _uses_tools(message: Message) -> bool:
    return message["role"] == "tool" or bool(message.get("tool_calls"))


def last_answer(turns: Conversation) -> int:
    """The index of the answer that ends the conversation; raises Unfit where none does."""
    if not turns.messages or turns.messages[-1]["role"] != "assistant":
        raise Unfit("turn_order")
    return len(turns.messages) - 1
