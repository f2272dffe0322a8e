"""Text out of tokens while they come: characters that span tokens wait until they are whole."""

from __future__ import annotations

from collections.abc import Callable

UNFINISHED = "\ufffd"  # what decoders write for bytes that are not a character yet
LONGEST_WAIT = (
    16  # tokens; a character has four bytes at most, so what waits longer is no character
)


class TextStream:
    """Decodes a growing list of ids piece by piece; the pieces joined are the text.

    Each step decodes the last few tokens with and without the newest ones and takes the difference,
    because some tokenizers write a token differently at the start of a text.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._context = 0  # from here on tokens are decoded ...
        self._written = 0  # ... and before here their text was handed out

    def push(self, token: int) -> str:
        """The text that this token makes complete; may be empty."""
        self._ids.append(token)
        piece = self._waiting()
        if piece.endswith(UNFINISHED) and len(self._ids) - self._written < LONGEST_WAIT:
            return ""
        return self._take(piece) if piece else ""

    def finish(self) -> str:
        """What still waits, with a replacement character where bytes are missing."""
        return self._take(self._waiting())

    def _waiting(self) -> str:
        before = self._decode(self._ids[self._context : self._written])
        return self._decode(self._ids[self._context :])[len(before) :]

    def _take(self, piece: str) -> str:
        self._context, self._written = self._written, len(self._ids)
        return piece
