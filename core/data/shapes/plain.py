"""Conversations in which nothing is odd, read in one pass: what most rows of most files are.

A row gets through only if the careful way (conversations, turns, conduct) would find no problem and
give the same sample; anything else is left to it. A test compares the two.
"""

from __future__ import annotations

from typing import Any

from core.data.sample import Conversation, Message
from core.data.shapes.turn_checks import is_clean
from core.data.shapes.turns import QUIET_KEYS

_SPEAKERS = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant"), "assistant"),
    "system": "system",
}


def read_plain(shape: str, value: Any) -> Conversation | None:
    """The conversation of an unremarkable row; None to have it looked at carefully."""
    if type(value) is not dict:
        return None
    if shape == "chat":
        turns = value.get("messages")
        if len(value) > 1 and not value.keys() <= QUIET_KEYS:
            return None
        return _plain_chat(turns)
    if shape == "sharegpt" and len(value) == 1:
        return _plain_sharegpt(value.get("conversations"))
    return None


def _plain_chat(turns: Any) -> Conversation | None:
    if type(turns) is not list:
        return None
    before = ""
    for turn in turns:
        if type(turn) is not dict or len(turn) != 2:
            return None
        role, content = turn.get("role"), turn.get("content")
        if role == before or role not in ("user", "assistant", "system"):
            return None
        if type(content) is not str or not content or content.isspace() or not is_clean(content):
            return None
        before = role
    return Conversation(turns) if before == "assistant" else None


def _plain_sharegpt(turns: Any) -> Conversation | None:
    if type(turns) is not list:
        return None
    before = ""
    messages: list[Message] = []
    for turn in turns:
        if type(turn) is not dict or len(turn) != 2:
            return None
        speaker, content = turn.get("from"), turn.get("value")
        role = _SPEAKERS.get(speaker) if type(speaker) is str else None
        if role is None or role == before:
            return None
        if type(content) is not str or not content or content.isspace() or not is_clean(content):
            return None
        messages.append({"role": role, "content": content})
        before = role
    return Conversation(messages) if before == "assistant" else None
