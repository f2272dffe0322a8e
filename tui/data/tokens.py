"""A row with its tokens as the pane shows it, and what is said of one token."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.text import Text

from core.data.escape import visible
from tui.theme import SECONDARY, TEAL

MOST_ESCAPED = 40  # characters of a token in the line about it


class Side(NamedTuple):
    """One text with its tokens: a row, or one answer of a preference. `pieces` join to
    text[:cut_at].
    """

    text: str = ""
    pieces: Sequence[str] = ()
    ids: Sequence[int] = ()
    supervised: Sequence[bool] = ()
    segments: Sequence[tuple[str, int, int]] = ()  # (role, start, end) in characters of the text
    cut_at: int = 0
    truncated_tokens: int = 0

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Side:
        return cls(**{name: fields[name] for name in cls._fields if name in fields})

    def parts(self) -> list[tuple[str, int, int]]:
        """The turns' places; a text without turns is one."""
        return list(self.segments) or [("", 0, len(self.text))]


class ShownRow(NamedTuple):
    """A row with its tokens; without them the turns alone show."""

    turns: Sequence[tuple[str, str]]  # (role, text), as the file has them
    raw: str = ""  # the row's bytes as text
    text: str = ""
    pieces: Sequence[str] = ()
    ids: Sequence[int] = ()
    supervised: Sequence[bool] = ()
    segments: Sequence[tuple[str, int, int]] = ()
    cut_at: int = 0
    truncated_tokens: int = 0
    problems: Sequence[dict[str, Any]] = ()
    note: str = ""  # why there are no tokens
    rejected: Mapping[str, Any] | None = None  # the other answer of a preference, as a Side
    label: bool | int | str | None = None  # KTO: bool; classification: int or str

    @property
    def encoded(self) -> bool:
        return bool(self.ids)

    @property
    def sides(self) -> list[Side]:
        """The text that is learned, and that of the rejected answer where there is one."""
        chosen = Side.of(self._asdict())
        return [chosen, Side.of(self.rejected)] if self.rejected else [chosen]

    def problems_of(self, side: int) -> list[dict[str, Any]]:
        """The problems that concern one side; those of the row as a whole concern both."""
        if self.rejected is None:
            return list(self.problems)
        other = ("rejected", "chosen")[side]
        return [problem for problem in self.problems if not _names(problem, other)]


def _names(problem: dict[str, Any], side: str) -> bool:
    field = str(problem["field"])
    return field == side or field.startswith((f"{side}.", f"{side}["))


def shared_parts(one: Side, other: Side) -> int:
    """How many parts both sides begin with: the prompt."""
    count = 0
    for mine, others in zip(one.parts(), other.parts(), strict=False):
        role, start, end = mine
        if tuple(mine) != tuple(others) or one.text[start:end] != other.text[start:end]:
            break
        count += 1
    return count


def token_facts(side: Side, number: int, dot: str) -> Text:
    """'token 12 of 142 · id 257 · "Where" · not supervised · user, message 2'."""
    supervised = side.supervised[number]
    parts = [
        Text(f"token {number + 1:,} of {len(side.ids):,}"),
        Text(f"id {side.ids[number]}"),
        Text(escaped(side.pieces[number])),
        Text("supervised", TEAL) if supervised else Text("not supervised"),
    ]
    place = side.cut_at if number >= len(side.pieces) else sum(map(len, side.pieces[:number]))
    message = bisect_right([start for _, start, _ in side.segments], place) - 1
    if 0 <= message < len(side.segments) and side.segments[message][0] != "text":
        parts.append(Text(f"{visible(side.segments[message][0])}, message {message + 1}"))
    return Text(f" {dot} ", SECONDARY).join(parts)


def escaped(piece: str) -> str:
    """A token's text in quotes, with escapes for what can't be seen."""
    if not piece:
        return "part of the character before"
    if len(piece) > MOST_ESCAPED:
        piece = piece[:MOST_ESCAPED] + "..."
    return visible(json.dumps(piece, ensure_ascii=False), newlines=False, tabs=False)
