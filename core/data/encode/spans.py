"""Where tokens stand in their text, without a list of offsets unless somebody asks for one.

Ways to know it, one answer: the offsets that `tokenizers` found, as a list or one by one, and in
byte-level vocabularies the number of bytes of each token, which is faster than to track offsets.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from tokenizers import Encoding as RawEncoding

Span = tuple[int, int]  # characters, the end not included


Word = tuple[int, str]  # a token and what it stands for


class TokenSpans(Protocol):
    """Token ids with the characters each stands for; a character may have several tokens."""

    ids: list[int]

    @property
    def offsets(self) -> list[Span]:
        """text[start:end] of every token."""
        ...

    def span(self, index: int) -> Span:
        """text[start:end] of one token."""
        ...

    def within(self, start: int, end: int) -> Span:
        """The tokens that reach into a span of characters: first, and one behind the last."""
        ...


class ByOffsets(msgspec.Struct):
    """Tokens with the offsets that the tokenizer gave."""

    ids: list[int]
    offsets: list[Span]

    def span(self, index: int) -> Span:
        return self.offsets[index]

    def within(self, start: int, end: int) -> Span:
        first = bisect_right(self.offsets, start, key=lambda span: span[1])
        return first, bisect_left(self.offsets, end, lo=first, key=lambda span: span[0])


class ByEncoding:
    """Tokens whose offsets stay with the tokenizer's encoding; a few of them are asked for."""

    def __init__(self, found: RawEncoding) -> None:
        self.ids = found.ids
        self._found = found

    @property
    def offsets(self) -> list[Span]:
        return self._found.offsets

    def span(self, index: int) -> Span:
        return self._found.token_to_chars(index) or (0, 0)

    def within(self, start: int, end: int) -> Span:
        tokens = range(len(self.ids))
        first = bisect_right(tokens, start, key=lambda index: self.span(index)[1])
        return first, bisect_left(tokens, end, lo=first, key=lambda index: self.span(index)[0])


class ByLengths:
    """Tokens of a byte-level vocabulary: each is so many bytes of the text in UTF-8."""

    def __init__(self, ids: list[int], ends: list[int], text: str) -> None:
        self.ids = ids
        self._ends = ends  # bytes of the text up to the end of each token
        self._text = text
        self._ascii = text.isascii()

    @property
    def offsets(self) -> list[Span]:
        if self._ascii:
            return list(zip([0, *self._ends[:-1]], self._ends, strict=True)) if self.ids else []
        place = list(accumulate(len(char.encode()) for char in self._text))  # end of each character
        starts = (bisect_right(place, start) for start in (0, *self._ends[:-1]))
        ends = (bisect_left(place, end) + 1 for end in self._ends)
        return list(zip(starts, ends, strict=True)) if self.ids else []

    def span(self, index: int) -> Span:
        start = self._ends[index - 1] if index else 0
        if self._ascii:
            return start, self._ends[index]
        data = self._text.encode()
        before = len(data[:start].decode(errors="ignore"))
        return before, before + len(_whole(data, start, self._ends[index]).decode())

    def within(self, start: int, end: int) -> Span:
        if not self._ascii:
            before = len(self._text[:start].encode())
            start, end = before, before + len(self._text[start:end].encode())
        first = bisect_right(self._ends, start)
        if not end:
            return first, first
        # a token begins where the one before ends
        return first, max(first, min(len(self.ids), bisect_left(self._ends, end) + 1))


def surrounded(tokens: TokenSpans, head: list[Word], tail: list[Word], text: str) -> ByOffsets:
    """The tokens with others before and after; `text` is the new one, with what these stand for."""
    shift = sum(len(word) for _, word in head)
    end = len(text) - sum(len(word) for _, word in tail)
    inner = [(start + shift, stop + shift) for start, stop in tokens.offsets]
    ids = [token for token, _ in head] + tokens.ids + [token for token, _ in tail]
    return ByOffsets(ids, _spell(head, 0) + inner + _spell(tail, end))


def _spell(words: list[Word], start: int) -> list[Span]:
    spans = []
    for _, word in words:
        spans.append((start, start + len(word)))
        start += len(word)
    return spans


def _whole(data: bytes, start: int, end: int) -> bytes:
    """Bytes widened to whole characters: UTF-8 goes on in bytes of the form 10xxxxxx."""
    while start and data[start] & 0xC0 == 0x80:
        start -= 1
    while end < len(data) and data[end] & 0xC0 == 0x80:
        end += 1
    return data[start:end]
