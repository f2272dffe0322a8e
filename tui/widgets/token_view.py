"""One row as the model sees it: roles as headings, what is learned, special tokens, problems."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rich.text import Text

from core.data.visible import visible
from tui.theme import (
    AMBER,
    BACKGROUND,
    BLUE,
    FIELD,
    FRAME,
    SECONDARY,
    SEVERITY,
    TEAL,
    TEXT,
    YELLOW,
    Symbols,
)
from tui.widgets.text_view import TextView

MOST_CHARACTERS = 60_000  # of one row that are drawn
LEARNED = (f"underline {TEAL}", "underline #87ffd7")  # taking turns, so that tokens show
SPECIAL = re.compile(r"<[^<>\s]{1,40}>|\[/?[A-Z_]{2,20}\]|<<?/?[A-Z]{2,10}>>?")
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
ROLE_COLOURS = {"system": SECONDARY, "developer": SECONDARY, "user": BLUE, "assistant": TEAL}


class ShownRow(NamedTuple):
    """A row with its tokens; without them the turns alone show. `pieces` join to text[:cut_at]."""

    turns: Sequence[tuple[str, str]]  # (role, text), as the file has them
    raw: str = ""  # the row's bytes as text, for one that can't be read
    text: str = ""
    pieces: Sequence[str] = ()
    ids: Sequence[int] = ()
    supervised: Sequence[bool] = ()
    segments: Sequence[tuple[str, int, int]] = ()  # (role, start, end) in characters of the text
    cut_at: int = 0
    truncated_tokens: int = 0
    problems: Sequence[dict[str, Any]] = ()
    note: str = ""  # why there are no tokens

    @property
    def encoded(self) -> bool:
        return bool(self.ids)


class Token(NamedTuple):
    """A token's place in the text and how it counts."""

    start: int
    end: int
    id: int
    learned: bool
    number: int


class TokenView(TextView):
    """Draws a ShownRow."""

    def __init__(self, **options) -> None:  # noqa: ANN003
        super().__init__(**options)
        self.row: ShownRow | None = None
        self.boundaries = False
        self.found = ""  # words that are searched for, to be marked

    def show_row(self, row: ShownRow, stay: bool = False) -> None:
        """Draws a row; with `stay` it is the same row, drawn anew."""
        self.row = row
        self._draw(stay)

    def set_boundaries(self, on: bool) -> None:
        """Whether every token stands apart, with its id."""
        self.boundaries = on
        self._draw(stay=True)

    def mark(self, words: str) -> None:
        """Marks words wherever they occur."""
        self.found = words
        self._draw(stay=True)

    def _draw(self, stay: bool) -> None:
        if self.row is None:
            return
        symbols: Symbols = self.app.symbols  # type: ignore[attr-defined]
        text = row_text(self.row, self.boundaries, symbols)
        if self.found:
            pattern = re.compile(re.escape(self.found), re.IGNORECASE)
            text.highlight_regex(pattern, f"{BACKGROUND} on {AMBER}")
        self.set_text(text, stay)


def row_text(row: ShownRow, boundaries: bool, symbols: Symbols) -> Text:
    """The whole drawing of a row."""
    text = Text()
    if not row.encoded:
        _draw_turns(text, row)
    elif boundaries:
        _draw_tokens(text, row, symbols)
    else:
        _draw_text(text, row)
    if len(row.text) > MOST_CHARACTERS:
        text.append(f"\nonly the first {MOST_CHARACTERS:,} characters are drawn\n", YELLOW)
    for problem in row.problems:
        text.append_text(problem_text(problem, symbols))
    if row.note:
        text.append(f"\n{symbols.problem} not encoded", f"bold {YELLOW}")
        text.append(f" {visible(row.note)}\n", TEXT)
    return text


def problem_text(problem: dict[str, Any], symbols: Symbols) -> Text:
    """A problem with its way out below."""
    colour = SEVERITY[problem["severity"]]
    text = Text(f"\n{symbols.problem} ", colour).append(problem["check"], f"bold {colour}")
    place = f" {problem['field']}" if problem["field"] else ""
    found = visible(problem["found"], newlines=False)
    text.append(visible(place), SECONDARY)
    text.append(f" {found}, expected {visible(problem['expected'])}.\n", TEXT)
    return text.append(f"  {visible(problem['fix'])}\n", SECONDARY)


def _draw_turns(text: Text, row: ShownRow) -> None:
    """A row without tokens: its turns, or the bytes when not even those can be read."""
    if not row.turns:
        text.append(visible(row.raw[:MOST_CHARACTERS]), SECONDARY).append("\n")
    for role, words in row.turns:
        _heading(text, role, "")
        text.append(f"{visible(words[:MOST_CHARACTERS])}\n\n", _colour_of(role))


def _heading(text: Text, role: str, fact: str) -> None:
    if role:
        text.append(visible(role), f"bold {ROLE_COLOURS.get(role, BLUE)}")
        text.append(f"  {fact}\n" if fact else "\n", SECONDARY)


def _colour_of(role: str) -> str:
    return SECONDARY if role in ("system", "developer") else TEXT


def _tokens(row: ShownRow) -> Iterator[Token]:
    place = 0
    for number, (piece, token, learned) in enumerate(
        zip(row.pieces, row.ids, row.supervised, strict=True)
    ):
        if place > MOST_CHARACTERS:
            return
        yield Token(place, place + len(piece), token, learned, number)
        place += len(piece)


def _segments(row: ShownRow) -> list[tuple[str, int, int]]:
    """The turns' places; a text without turns is one."""
    return list(row.segments) or [("", 0, len(row.text))]


def _fact(role: str, learned: int) -> str:
    if learned:
        return f"{learned:,} supervised token{'' if learned == 1 else 's'}"
    return "not learned" if role == "assistant" else ""


def _draw_text(text: Text, row: ShownRow) -> None:
    """The turns without the template's frame around them, except where the frame is learned."""
    tokens = list(_tokens(row))
    starts, ends = [token.start for token in tokens], [token.end for token in tokens]
    shown = visible(row.text)
    contents = [words for _, words in row.turns]
    for position, (role, start, end) in enumerate(_segments(row)):
        content = contents[position] if position < len(contents) else ""
        begin = row.text.find(content, start, end) if content else -1
        inside = (begin, begin + len(content)) if begin >= 0 else (start, end)
        mine = tokens[bisect_right(ends, start) : bisect_left(starts, end)]
        _heading(text, role, _fact(role, sum(token.learned for token in mine)))
        for token in mine:
            _draw_piece(text, row, shown, token, inside, role)
        lost = (max(row.cut_at, inside[0]), inside[1])
        if lost[0] < lost[1] and lost[0] < MOST_CHARACTERS:
            text.append(shown[lost[0] : lost[1]], f"strike {FRAME}")
        text.rstrip()
        text.append("\n\n")
    text.rstrip()
    text.append("\n")


def _draw_piece(
    text: Text, row: ShownRow, shown: str, token: Token, inside: tuple[int, int], role: str
) -> None:
    piece = shown[token.start : token.end]
    if token.learned:
        special = SPECIAL.fullmatch(row.text[token.start : token.end])
        style = f"bold underline {AMBER}" if special else LEARNED[token.number % 2]
        outside = token.start >= inside[1]
        text.append(piece.rstrip("\n") if outside else piece, style)
        return
    start, end = max(token.start, inside[0]), min(token.end, inside[1])
    if start < end:
        text.append(shown[start:end], _colour_of(role))


def _draw_tokens(text: Text, row: ShownRow, symbols: Symbols) -> None:
    """Every token apart, the template's too, each with its id."""
    segments = _segments(row)
    tokens = list(_tokens(row))
    upcoming = 0
    for token in tokens:
        while upcoming < len(segments) and token.start >= segments[upcoming][1]:
            role, start, end = segments[upcoming]
            learned = sum(t.learned for t in tokens if t.start < end and t.end > start)
            if upcoming:
                text.rstrip()
                text.append("\n\n")
            _heading(text, role, _fact(role, learned))
            upcoming += 1
        _draw_token(text, row.text[token.start : token.end], token, symbols)
    text.append("\n")
    if row.truncated_tokens:
        text.append(f"\n{row.truncated_tokens:,} more tokens are cut\n", YELLOW)


def _small(number: int, symbols: Symbols) -> str:
    """A token's id, so that it doesn't read as a part of the token."""
    return str(number).translate(SUBSCRIPTS) if symbols.subscripts else f"/{number}"


def _draw_token(text: Text, piece: str, token: Token, symbols: Symbols) -> None:
    ground = f" on {FIELD}" if token.number % 2 else ""
    style = TEAL if token.learned else TEXT
    style = f"bold {AMBER}" if SPECIAL.fullmatch(piece) else style
    words = visible(piece, newlines=False, tabs=False).replace("␊", symbols.newline)
    text.append(words, f"{'underline ' if token.learned else ''}{style}{ground}")
    text.append(_small(token.id, symbols), SECONDARY + ground)
    text.append(" ", ground.strip())
    if "\n" in piece:
        text.append("\n")
