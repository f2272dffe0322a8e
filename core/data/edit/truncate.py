"""Cuts rows that are longer than max_length, so that what is learned is whole.

A conversation loses whole exchanges, the oldest first: a user's turn with everything up to the next
one. Its system prompt and its last exchange stay. A text ends at the border of a token. What can't
be cut like this (a long last exchange, a prompt and completion, tokens beside text) is left out.
"""

from __future__ import annotations

from typing import Any

import msgspec

from core.data.encode.encoder import Encoder, Encoding
from core.data.files.source import Row
from core.data.problems import RowProblem
from core.data.sample import Sample, Text, Tokens
from core.data.shapes.detect import TEXT_KEYS
from core.data.shapes.read import Reader
from core.data.shapes.turns import Turns, find_turns, read_turns

Shortened = tuple[Row, Sample, list[RowProblem], int]  # and how many tokens were taken away


class Shortener:
    """Cuts rows of one file to the max_length of an encoder."""

    def __init__(self, reader: Reader, encoder: Encoder) -> None:
        assert encoder.max_length is not None
        self._reader, self._encoder, self._limit = reader, encoder, encoder.max_length

    def shorten(self, row: Row, sample: Sample) -> Shortened | None:
        """The row, as long as it may be; None where it can't be cut sensibly."""
        before = _length(self._encoder.encode(sample, segments=False))
        if isinstance(sample, Text):
            value = self._cut_text(row.value, sample)
        elif isinstance(sample, Tokens):
            value = self._cut_tokens(row.value)
        else:
            value = self._cut_turns(row.value)
        if value is None:
            return None
        shorter = msgspec.structs.replace(row, value=value)
        reading = self._reader.read(shorter)
        if reading.sample is None:
            return None
        encoding = self._encoder.encode(reading.sample, segments=False)
        if _cut_off(encoding):
            return None
        problems = reading.problems + encoding.problems
        return shorter, reading.sample, problems, before - _length(encoding)

    def _cut_text(self, value: Any, sample: Text) -> Any:
        """The text up to the last token that fits beside those that are always added."""
        key = next((key for key in TEXT_KEYS if isinstance(value, dict) and key in value), None)
        if key is None or value.get(key) != sample.text:
            return None
        tokens = self._encoder.tokenizer.encode(sample.text)
        encoding = self._encoder.encode(sample, segments=False)
        added = _length(encoding) - len(tokens.ids)
        # Text that ends earlier may part into one token more; a few steps back settle it.
        for kept in range(self._limit - added, max(0, self._limit - added - 8), -1):
            text = sample.text[: tokens.offsets[kept - 1][1]]
            if _length(self._encoder.encode(Text(text), segments=False)) <= self._limit:
                return {**value, key: text} if text.strip() else None
        return None

    def _cut_tokens(self, value: Any) -> Any:
        listed = ("input_ids", "labels", "attention_mask")
        cut = {key: value[key][: self._limit] for key in listed if isinstance(value.get(key), list)}
        return {**value, **cut}

    def _cut_turns(self, value: Any) -> Any:
        """The row without as few of its oldest exchanges as will do."""
        place = _find_turns(value)
        if place is None:
            return None
        path, turns = place
        exchanges = _droppable(turns, path)
        best, low, high = None, 1, len(exchanges)
        while low <= high:  # how many have to go is found by halving
            middle = (low + high) // 2
            gone = {index for exchange in exchanges[:middle] for index in exchange}
            kept = [turn for index, turn in enumerate(turns) if index not in gone]
            candidate = _replaced(value, path, kept)
            if self._fits(candidate):
                best, high = candidate, middle - 1
            else:
                low = middle + 1
        return best

    def _fits(self, value: Any) -> bool:
        reading = self._reader.read(Row(0, 0, value))
        if reading.sample is None:
            return False
        return not _cut_off(self._encoder.encode(reading.sample, segments=False))


def _length(encoding: Encoding) -> int:
    """Tokens before the cut; of a pair, those of the longer side."""
    own = len(encoding.ids) + encoding.truncated_tokens
    return max(own, _length(encoding.rejected)) if encoding.rejected else own


def _cut_off(encoding: Encoding) -> bool:
    other = encoding.rejected
    return encoding.truncated_tokens > 0 or (other is not None and other.truncated_tokens > 0)


def _find_turns(value: Any) -> tuple[tuple[str, ...], list[Any]] | None:
    """Where in the row the turns stand that can be taken away, and these."""
    if isinstance(value, dict):
        inner = value.get("input")
        if isinstance(inner, dict) and isinstance(inner.get("messages"), list):
            return ("input", "messages"), inner["messages"]
        for key in ("prompt", "history"):
            if isinstance(value.get(key), list):
                return (key,), value[key]
    found = find_turns(value)
    if found is None or not isinstance(found[1], list):
        return None
    return ((found[0],) if found[0] else ()), found[1]


def _droppable(turns: list[Any], path: tuple[str, ...]) -> list[range]:
    """The exchanges that may go, the oldest first, as indexes of turns.

    What stands before the first user's turn stays, and all from the last answered question on.
    """
    if path == ("history",):
        return [range(index, index + 1) for index in range(len(turns))]
    roles = [_role(turn) for turn in turns]
    starts = [index for index, role in enumerate(roles) if role == "user"]
    is_prompt = path in (("input", "messages"), ("prompt",))
    last = len(roles) - 1
    if not is_prompt and "assistant" in roles:
        last = len(roles) - 1 - roles[::-1].index("assistant")
    kept = [start for start in starts if start <= last]
    return [range(start, end) for start, end in zip(kept, kept[1:], strict=False)]


def _role(turn: Any) -> str:
    """The role of a turn in either spelling; empty for a turn that can't be read."""
    into = Turns()
    read_turns([turn], "", False, into)
    return str(into.messages[0]["role"]) if into.messages else ""


def _replaced(value: Any, path: tuple[str, ...], turns: list[Any]) -> Any:
    if not path:
        return turns
    return {**value, path[0]: _replaced(value[path[0]], path[1:], turns)}
