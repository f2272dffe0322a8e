"""A row as the model sees it."""

from __future__ import annotations

import msgspec

from core.data.encode.spans import Span
from core.data.problems import RowProblem

IGNORED = -100  # the label that PyTorch's cross entropy leaves out


class Encoding(msgspec.Struct):
    """A row as the model sees it; ids, supervised and offsets are at most max_length long.

    Of a preference it is the prompt with the chosen answer, and `rejected` the prompt with the
    other one. `problems` are those of both sides: the field of each begins with "chosen" or
    "rejected", and its token counts in that side. A problem's token is an index into the ids as
    they were before the cut.
    """

    ids: list[int]
    supervised: list[bool]
    text: str  # whole, also where the ids are cut
    offsets: list[Span]  # characters of the text; empty unless segments were asked for
    segments: list[tuple[str, int, int]]  # (role, start, end) of each message, in characters
    truncated_tokens: int  # tokens beyond max_length
    problems: list[RowProblem]
    index: int = 0  # of the row in its source, from 0
    rejected: Encoding | None = None
    label: bool | int | str | None = None  # KTO: bool; classification: int or str

    @property
    def supervised_tokens(self) -> int:
        return sum(self.supervised)

    @property
    def usable(self) -> bool:
        """Whether there is something to learn from, in both answers of a preference."""
        if self.label is not None and not isinstance(self.label, bool):
            return bool(self.ids)  # a class is learned, no token
        return True in self.supervised and (self.rejected is None or self.rejected.usable)


def empty(problems: list[RowProblem]) -> Encoding:
    """The encoding of a row that has no tokens, with the reasons."""
    return Encoding([], [], "", [], [], 0, problems)
