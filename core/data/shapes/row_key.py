"""When two rows say the same: a hash of a sample with its white space evened out."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from core.data.sample import Conversation, Labelled, Preference, Text, UnpairedPreference
from core.data.shapes.sample_text import AnySample

_UNEVEN = ("  ", "\n", "\t", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x1f")
_encode = msgspec.json.Encoder().encode


def sample_key(sample: AnySample) -> int:
    """64 bits that are equal for samples that differ in white space only."""
    if isinstance(sample, Conversation):
        content = _encode(_turns(sample))
    elif isinstance(sample, Text):
        content = _encode(_even(sample.text))
    elif isinstance(sample, Preference):
        content = _encode(("preference", _turns(sample.chosen), _turns(sample.rejected)))
    elif isinstance(sample, UnpairedPreference):
        content = _encode(("judged", _turns(sample.answer), sample.good))
    elif isinstance(sample, Labelled):
        content = _encode(("labelled", _even(sample.text), _even(sample.pair or ""), sample.label))
    else:
        content = _encode(("tokens", sample.ids, sample.labels))
    return bytes_key(content)


def bytes_key(content: bytes) -> int:
    """64 bits of a hash, for rows that can't be read."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")


def _turns(sample: Conversation) -> Any:
    turns = [
        (message["role"], _even(message.get("content") or ""), message.get("tool_calls"))
        for message in sample.messages
    ]
    return turns, sample.tools


def _even(text: str) -> str:
    if text.isascii() and not any(white in text for white in _UNEVEN):
        return text.strip()  # as below, at a fifth of the time
    return " ".join(text.split())
