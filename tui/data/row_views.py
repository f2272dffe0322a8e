"""Drawing a row: as its turns, as every token the model sees, or as the JSON of the file."""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from core.data.escape import visible
from tui.data.tokens import ShownRow, Side, shared_parts
from tui.theme import (
    AMBER,
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
from tui.widgets.token_drawing import Drawing

LEARNED = (f"underline {TEAL}", "underline #87ffd7")  # taking turns, so that tokens show
CUT = f"strike {FRAME}"
SPECIAL = re.compile(r"<[^<>\s]{1,40}>|\[/?[A-Z_]{2,20}\]|<<?/?[A-Z]{2,10}>>?")
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
ROLE_COLOURS = {"system": SECONDARY, "developer": SECONDARY, "user": BLUE, "assistant": TEAL}
QUIET = ("system", "developer")
_KEY = re.compile(r'^\s*("(?:[^"\\]|\\.)*"):')
SIDES = ("chosen", "rejected")


class Look(NamedTuple):
    """How a row is drawn."""

    mode: str = "turns"  # "turns", "tokens": all that the model sees, "json": the row of the file
    apart: bool = True  # in "tokens": where one token ends and the next begins
    ids: bool = False  # in "tokens": each token with its id
    separators: bool = False  # tokens are parted by a line, not by shade


class _Spot(NamedTuple):
    """What is drawn of a side, and how."""

    side: Side
    shown: str  # the text without control characters, character by character
    starts: list[int]  # of the tokens, in characters
    marks: Mapping[int, str]  # token -> severity of the problem that sits there
    look: Look
    symbols: Symbols


def draw_row(row: ShownRow, look: Look, symbols: Symbols, side: int = 0) -> Drawing:
    """The whole drawing of a row, or of one of a preference's two answers."""
    drawing = Drawing()
    if look.mode == "json":
        _draw_json(drawing, row.raw)
        return drawing
    for problem in row.problems_of(side):
        _draw_problem(drawing, problem, symbols)
    if row.note:
        drawing.add(f"{symbols.problem} not encoded", f"bold {YELLOW}")
        drawing.add(f" {visible(row.note)}\n", TEXT)
    if len(drawing):
        drawing.add("\n", TEXT)
    if not row.encoded:
        _draw_turns(drawing, row)
        return drawing
    if row.label is not None:
        drawing.add("label", f"bold {BLUE}").add(f"  {label_words(row.label)}\n\n", TEAL)
    _draw_side(drawing, row, look, symbols, side)
    return drawing


def label_words(label: bool | int | str) -> str:
    """A label as it is said: of KTO whether the answer is wanted, else the class."""
    if isinstance(label, bool):
        return "true: a wanted answer" if label else "false: an unwanted answer"
    return visible(str(label), newlines=False)


def _draw_problem(drawing: Drawing, problem: dict[str, Any], symbols: Symbols) -> None:
    """A problem with its way out below."""
    colour = SEVERITY[problem["severity"]]
    drawing.add(f"{symbols.problem} ", colour).add(problem["check"], f"bold {colour}")
    place = f" {problem['field']}" if problem["field"] else ""
    found = visible(problem["found"], newlines=False)
    drawing.add(visible(place), SECONDARY)
    drawing.add(f" {found}, expected {visible(problem['expected'])}.\n", TEXT)
    drawing.add(f"  {visible(problem['fix'])}\n", SECONDARY)


def _draw_turns(drawing: Drawing, row: ShownRow) -> None:
    """A row without tokens: its turns, or the bytes when not even those can be read."""
    if not row.turns:
        drawing.add(visible(row.raw, tabs=False), SECONDARY).add("\n", TEXT)
    for role, words in row.turns:
        _heading(drawing, role, "")
        drawing.add(f"{_people(words)}\n\n", _colour_of(role))


def _people(words: str) -> str:
    return visible(words).replace("\t", "    ")


def _heading(drawing: Drawing, role: str, fact: str, title: str = "") -> None:
    if role:
        drawing.add(visible(title or role, newlines=False), f"bold {ROLE_COLOURS.get(role, BLUE)}")
        drawing.add(f"  {fact}\n" if fact else "\n", SECONDARY)


def _colour_of(role: str) -> str:
    return SECONDARY if role in QUIET else TEXT


def _fact(role: str, learned: int) -> str:
    if learned:
        return f"{learned:,} supervised token{'' if learned == 1 else 's'}"
    return "not learned" if role == "assistant" else ""


def _draw_side(drawing: Drawing, row: ShownRow, look: Look, symbols: Symbols, number: int) -> None:
    """The turns of one side, each with a heading."""
    sides = row.sides
    side = sides[number]
    starts = list(accumulate(map(len, side.pieces), initial=0))[: len(side.pieces)]
    marks = _marks(row.problems_of(number), len(side.ids))
    spot = _Spot(side, visible(side.text, tabs=False), starts, marks, look, symbols)
    shared = shared_parts(*sides) if len(sides) == 2 else 0
    for position, (role, start, end) in enumerate(side.parts()):
        if position and not drawing.ends_with("\n\n"):
            drawing.add("\n" if drawing.ends_with("\n") else "\n\n", TEXT)
        first, last = bisect_left(starts, start), bisect_left(starts, end)
        if position + 1 == len(side.parts()):
            last = len(starts)
        fact, title = _fact(role, sum(side.supervised[first:last])), role
        if position < shared:
            fact = "the prompt of both"
        elif len(sides) == 2 and role == "assistant":
            title = SIDES[number]
        _heading(drawing, role, fact, title)
        content = row.turns[position][1] if position < len(row.turns) else ""
        inside = _inside(spot, role, (start, end), content, (first, last))
        if look.mode == "tokens":
            _draw_tokens(drawing, spot, role, inside, (first, last))
        else:
            _draw_words(drawing, spot, role, inside, (first, last))
        _draw_lost(drawing, spot, inside if look.mode == "turns" else (start, end))
    drawing.add("\n", TEXT)


def _marks(problems: Sequence[dict[str, Any]], count: int) -> dict[int, str]:
    """Tokens with problems and the colour of the worst one; what is cut shows at the last token."""
    rank = ("note", "warning", "error")
    marks: dict[int, str] = {}
    for problem in problems:
        token = problem.get("token")
        if token is not None and count:
            token = max(0, min(token, count - 1))
            known = marks.get(token, "note")
            marks[token] = max(known, problem["severity"], key=rank.index)
    return marks


def _inside(
    spot: _Spot, role: str, part: tuple[int, int], content: str, tokens: tuple[int, int]
) -> tuple[int, int]:
    """Where a turn's own words stand in its part, without the template's frame around them."""
    (start, end), side, starts = part, spot.side, spot.starts
    begin = side.text.find(content, start, end) if content else -1
    if begin >= 0:
        return begin, begin + len(content)
    learned = [number for number in range(*tokens) if side.supervised[number]]
    if learned and role == "assistant":  # the turns don't have it: the rejected answer
        last = learned[-1]
        if SPECIAL.fullmatch(side.pieces[last]):
            last -= 1
        return starts[learned[0]], max(starts[learned[0]], starts[last] + len(side.pieces[last]))
    return start, end


def _mark(drawing: Drawing, spot: _Spot, number: int, style: str) -> str:
    """Draws the sign of a problem before its token; returns the token's style."""
    severity = spot.marks.get(number)
    if severity is None:
        return style
    colour = SEVERITY[severity]
    drawing.add(spot.symbols.problem, colour, number)
    return f"{style} bold {colour}"


def _draw_words(
    drawing: Drawing,
    spot: _Spot,
    role: str,
    inside: tuple[int, int],
    tokens: tuple[int, int],
) -> None:
    """A turn without the template's frame around it, except where the frame is learned."""
    side, colour = spot.side, _colour_of(role)
    first = max(0, bisect_right(spot.starts, inside[0]) - 1)  # it may begin in the frame
    for number in range(min(first, tokens[0]), tokens[1]):
        start = spot.starts[number]
        end = start + len(side.pieces[number])
        piece = spot.shown[start:end]
        learned = side.supervised[number]
        if learned and start >= inside[1]:
            piece = piece.rstrip("\n")
        elif not learned:
            piece = spot.shown[max(start, inside[0]) : min(end, inside[1])]
        if not piece and number not in spot.marks:
            continue
        style = colour
        if learned:
            special = SPECIAL.fullmatch(side.pieces[number])
            style = f"bold underline {AMBER}" if special else LEARNED[number % 2]
        drawing.add(piece.replace("␉", "    "), _mark(drawing, spot, number, style), number)


def _draw_tokens(
    drawing: Drawing,
    spot: _Spot,
    role: str,
    inside: tuple[int, int],
    tokens: tuple[int, int],
) -> None:
    """Every token of a turn, the template's too."""
    side, look, symbols = spot.side, spot.look, spot.symbols
    apart = look.apart or look.ids
    for number in range(*tokens):
        start = spot.starts[number]
        end = start + len(side.pieces[number])
        frame = end <= inside[0] or start >= inside[1]
        style = SECONDARY if frame else _colour_of(role)
        if side.supervised[number]:
            special = SPECIAL.fullmatch(side.pieces[number])
            style = f"underline {f'bold {AMBER}' if special else TEAL}"
        ground = f" on {FIELD}" if apart and not look.separators and number % 2 else ""
        piece = spot.shown[start:end]
        words = piece.replace("\n", symbols.newline) if apart else piece
        if not words:
            words = symbols.ellipsis if apart else ""
            style = SECONDARY
        style = _mark(drawing, spot, number, style) + ground
        drawing.add(words, style, number)
        if look.ids:
            drawing.add(_small(side.ids[number], symbols), SECONDARY + ground, number)
            drawing.add(" ", TEXT)
        elif apart and look.separators:
            drawing.add("|", FRAME)
        if apart and "\n" in piece:
            drawing.add("\n", TEXT)


def _small(number: int, symbols: Symbols) -> str:
    """A token's id, so that it doesn't read as a part of the token."""
    return str(number).translate(SUBSCRIPTS) if symbols.subscripts else f"/{number}"


def _draw_lost(drawing: Drawing, spot: _Spot, part: tuple[int, int]) -> None:
    """What is cut of a turn."""
    lost = max(spot.side.cut_at, part[0])
    if lost < part[1]:
        drawing.add(spot.shown[lost : part[1]].replace("␉", "    "), CUT)


def _draw_json(drawing: Drawing, raw: str) -> None:
    """The row as JSON over several lines, the keys in blue; as it is where it can't be read."""
    try:
        value = json.loads(raw, object_pairs_hook=_pairs)
        text = json.dumps(_seen(value), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        drawing.add(visible(raw, tabs=False), TEXT)
        return
    for line in text.split("\n"):
        key = _KEY.match(line)
        cut = key.end(1) if key else 0
        drawing.add(line[:cut], BLUE).add(line[cut:] + "\n", TEXT)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; one with a key twice can only be shown as the bytes have it."""
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _seen(value: Any) -> Any:
    """The value with control characters as symbols."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, list):
        return [_seen(item) for item in value]
    if isinstance(value, dict):
        return {visible(key): _seen(item) for key, item in value.items()}
    return value
