"""When two rows say the same: a hash of a sample with its white space evened out."""

from __future__ import annotations

import hashlib

import msgspec

from core.data.sample import Conversation, Sample


def sample_key(sample: Sample) -> int:
    """64 bits that are equal for samples that differ in white space only."""
    if isinstance(sample, Conversation):
        turns = [
            (message["role"], _even(message.get("content") or ""), message.get("tool_calls"))
            for message in sample.messages
        ]
        content = msgspec.json.encode((turns, sample.tools))
    else:
        content = msgspec.json.encode(_even(sample.text))
    return bytes_key(content)


def bytes_key(content: bytes) -> int:
    """64 bits of a hash, for rows that can't be read."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")


def _even(text: str) -> str:
    return " ".join(text.split())
