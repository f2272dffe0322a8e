"""A row drawn with its tokens: what is learned, cut, special, wrong; and the cursor among them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from textual.app import App, ComposeResult

from tests.tui.pilots import lines_of, pieces_of, until
from tui.data.row_frame import RowFrame
from tui.data.row_views import Look, draw_row
from tui.data.tokens import ShownRow, Side, escaped, token_facts
from tui.theme import AMBER, ASCII, BLUE, FIELD, SECONDARY, TEAL, THEME, UNICODE, YELLOW, Symbols
from tui.widgets.token_drawing import Drawing, line_spans
from tui.widgets.token_view import TokenView

TURNS = Look()
TOKENS = Look("tokens")
IDS = Look("tokens", ids=True)


def row(text: str, pieces: Sequence[str], learned: Sequence[int], **fields) -> ShownRow:  # noqa: ANN003
    side = side_of(text, pieces, learned, fields.pop("segments", ()))
    return ShownRow(fields.pop("turns"), **side, **fields)


def side_of(
    text: str, pieces: Sequence[str], learned: Sequence[int], segments: Sequence[Any] = ()
) -> dict[str, Any]:
    """The fields of a Side."""
    return {
        "text": text,
        "pieces": list(pieces),
        "ids": list(range(100, 100 + len(pieces))),
        "supervised": [number in learned for number in range(len(pieces))],
        "segments": segments,
        "cut_at": sum(map(len, pieces)),
    }


def wrong(token: int | None = None, field: str = "", severity: str = "warning") -> dict[str, Any]:
    return {
        "check": "odd_thing", "severity": severity, "field": field, "found": "[b]this\x1b",
        "expected": "that", "fix": "Mend it.", "token": token,
    }  # fmt: skip


def plain(row: ShownRow, look: Look = TURNS, symbols: Symbols = UNICODE, side: int = 0) -> str:
    return draw_row(row, look, symbols, side).words


def styled(drawing: Drawing) -> dict[str, str]:
    return {piece.words: piece.style for piece in pieces_of(drawing)}


PIECES = ["<s>", "user:", "Hi", "\n", "bot:", "Good", " day", "</s>"]
TALK = row(
    "".join(PIECES),
    PIECES,
    learned=[5, 6, 7],
    turns=[("user", "Hi"), ("assistant", "Good day")],
    segments=[("user", 0, 11), ("assistant", 11, 27)],
)


def test_a_row_shows_its_turns_without_the_templates_frame() -> None:
    drawing = draw_row(TALK, TURNS, UNICODE)
    assert drawing.words == "user\nHi\n\nassistant  3 supervised tokens\nGood day</s>\n"
    styles = styled(drawing)
    assert styles["user"] == f"bold {BLUE}"
    assert styles["Good"].startswith("underline") and styles[" day"].startswith("underline")
    assert styles["Good"] != styles[" day"]
    assert styles["</s>"] == f"bold underline {AMBER}"
    assert "underline" not in styles["Hi"]


def test_a_row_by_tokens_shows_the_frame_in_grey_and_every_second_token_on_a_shade() -> None:
    drawing = draw_row(TALK, TOKENS, UNICODE)
    assert drawing.words == (
        "user\n<s>user:Hi↵\n\nassistant  3 supervised tokens\nbot:Good day</s>\n"
    )
    styles = styled(drawing)
    assert styles["<s>"] == SECONDARY and styles["user:"] == f"{SECONDARY} on {FIELD}"
    assert styles["Good"] == f"underline {TEAL} on {FIELD}"
    assert styles[" day"] == f"underline {TEAL}"
    assert styles["</s>"] == f"underline bold {AMBER} on {FIELD}"
    run_on = draw_row(TALK, TOKENS._replace(apart=False), UNICODE)
    assert not any(FIELD in piece.style for piece in pieces_of(run_on))


def test_ids_stand_beside_their_tokens() -> None:
    assert plain(TALK, IDS).startswith("user\n<s>₁₀₀ user:₁₀₁ Hi₁₀₂ ↵₁₀₃")
    assert "bot:₁₀₄ Good₁₀₅  day₁₀₆ </s>₁₀₇" in plain(TALK, IDS)
    assert "bot:/104 Good/105  day/106 </s>/107" in plain(TALK, IDS, ASCII)


def test_lines_part_the_tokens_where_a_shade_can_not_be_relied_on() -> None:
    look = TOKENS._replace(separators=True)
    assert "bot:|Good| day|</s>|" in plain(TALK, look, ASCII)
    assert not any(FIELD in piece.style for piece in pieces_of(draw_row(TALK, look, ASCII)))


def test_tokens_that_share_a_character_are_all_there() -> None:
    emoji = row("🙂!", ["🙂", "", "", "!"], [], turns=[("", "🙂!")])
    assert plain(emoji, TOKENS) == "🙂……!\n"
    assert plain(emoji) == "🙂!\n"
    assert escaped("") == "part of the character before"


def test_what_is_cut_is_struck_and_the_problem_stands_above_and_at_its_token() -> None:
    cut = TALK._replace(
        pieces=PIECES[:6], ids=range(6), supervised=[False] * 5 + [True], cut_at=19,
        truncated_tokens=2, problems=[wrong(token=5)],
    )  # fmt: skip
    for look in (TURNS, TOKENS):
        drawing = draw_row(cut, look, UNICODE)
        assert drawing.words.startswith("▲ odd_thing [b]this␛, expected that.\n  Mend it.\n\nuser")
        assert "▲Good day</s>\n" in drawing.words + "\n" or "▲Good day" in drawing.words
        struck = [piece.words for piece in pieces_of(drawing) if "strike" in piece.style]
        assert struck == [" day</s>"] or struck == [" day"]
        assert YELLOW in next(p.style for p in pieces_of(drawing) if p.words == "Good")


def test_a_document_has_no_headings() -> None:
    document = row("Once upon", ["Once", " upon"], [0, 1], turns=[("", "Once upon")])
    assert plain(document) == "Once upon\n"


def test_a_row_without_tokens_shows_its_turns_or_its_bytes() -> None:
    assert plain(ShownRow([("user", "[b]Hi[/b]\x1b[0m")])) == "user\n[b]Hi[/b]␛[0m\n\n"
    assert plain(ShownRow((), raw='{"broken')) == '{"broken\n'


@pytest.mark.parametrize(
    ("label", "words"),
    [(True, "true: a wanted answer"), (False, "false: an unwanted answer"), ("[b]food", "[b]food")],
)
def test_a_label_is_said_before_the_text(label: bool | str, words: str) -> None:
    assert plain(TALK._replace(label=label)).startswith(f"label  {words}\n\nuser\nHi")


def test_a_preference_marks_the_prompt_of_both_and_each_answer() -> None:
    good = ["q:", "Hi", " a:", "Good", "</s>"]
    bad = ["q:", "Hi", " a:", "Go", " away", "</s>"]
    parts = [("user", 0, 4), ("assistant", 4, 15)]
    both = row(
        "".join(good), good, [3, 4], segments=parts,
        turns=[("user", "Hi"), ("assistant", "Good")],
        rejected=side_of("".join(bad), bad, [3, 4, 5], [parts[0], ("assistant", 4, 18)]),
        problems=[wrong(token=3, field="rejected"), wrong(field="chosen")],
    )  # fmt: skip
    head = "▲ odd_thing {} [b]this␛, expected that.\n  Mend it.\n\nuser  the prompt of both\nHi\n\n"
    chosen, rejected = plain(both), plain(both, side=1)
    assert chosen == head.format("chosen") + "chosen  2 supervised tokens\nGood</s>\n"
    assert rejected == head.format("rejected") + "rejected  3 supervised tokens\n▲Go away</s>\n"


def test_the_json_of_a_row_is_laid_out_with_escapes_as_symbols() -> None:
    raw = json.dumps({"text": "[b]a\x1b[31m\nb", "n": 1})
    drawing = draw_row(ShownRow((), raw=raw), Look("json"), UNICODE)
    assert drawing.words == '{\n  "text": "[b]a␛[31m\\nb",\n  "n": 1\n}\n'
    assert styled(drawing)['  "text"'] == BLUE
    twice = '{"a": 1, "a": 2}'
    assert plain(ShownRow((), raw=twice), Look("json")) == twice
    assert plain(ShownRow((), raw="[" * 9000), Look("json")) == "[" * 9000


def test_a_token_is_described_with_its_text_escaped_and_its_message() -> None:
    side = Side.of(TALK._asdict())
    assert token_facts(side, 3, "·").plain == (
        'token 4 of 8 · id 103 · "\\n" · not supervised · user, message 1'
    )
    assert token_facts(side, 6, "·").plain == (
        'token 7 of 8 · id 106 · " day" · supervised · assistant, message 2'
    )


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one two three", ["one two ", "three"]),
        ("exactly8 and", ["exactly8 ", "and"]),
        ("abcdefghij", ["abcdefgh", "ij"]),
        ("日本語日本語", ["日本語日", "本語"]),
        ("a\n\nb", ["a", "", "b"]),
        ("", [""]),
    ],
)
def test_lines_break_behind_spaces_and_lose_nothing(text: str, lines: list[str]) -> None:
    assert [text[start:end] for start, end in line_spans(text, 8)] == lines


def long_row(count: int) -> ShownRow:
    pieces = [f" w{number}" for number in range(count)]
    return row("".join(pieces), pieces, range(0, count, 2), turns=[("", "".join(pieces))])


def test_a_row_of_a_hundred_thousand_tokens_is_drawn_whole_and_a_screen_of_it_at_once() -> None:
    drawing = draw_row(long_row(100_000), TOKENS, UNICODE)
    count = drawing.wrap(76)
    assert drawing.words.rstrip().endswith("w99999") and len(drawing.stops) == 100_000
    place = drawing.place_of(70_000)
    assert place is not None
    screen = drawing.line_of(place)
    start = time.monotonic()
    words = ["".join(p.words for p in drawing.line(y)) for y in range(screen, screen + 40)]
    assert time.monotonic() - start < 0.5  # a screen, not the row: it takes a millisecond
    assert " w70000" in words[0] and screen + 40 < count


class Bench(App[None]):
    """A row's frame by itself."""

    def __init__(self, symbols: Symbols = UNICODE) -> None:
        super().__init__()
        self.symbols = symbols
        self.register_theme(THEME)
        self.theme = THEME.name
        self.passed: list[int] = []

    def compose(self) -> ComposeResult:
        yield RowFrame()

    def on_token_view_passed(self, event: TokenView.Passed) -> None:
        self.passed.append(event.step)


async def test_the_cursor_goes_from_token_to_token_and_says_which_it_is() -> None:
    app = Bench()
    async with app.run_test(size=(80, 20)) as pilot:
        frame = app.query_one(RowFrame)
        frame.show_row(1, TALK)
        frame.toggle_tokens()
        await pilot.press("g")
        await until(pilot, lambda: 'token 1 of 8 · id 100 · "<s>"' in lines_of(app)[-1])
        assert lines_of(app)[0].startswith("╭─ row 1 · tokens ──")
        await pilot.press("right", "l")
        await until(pilot, lambda: 'token 3 of 8 · id 102 · "Hi" · not' in lines_of(app)[-1])
        await pilot.press("down")
        await until(pilot, lambda: 'token 7 of 8 · id 106 · " day" · sup' in lines_of(app)[-1])
        await pilot.press("up")
        await until(pilot, lambda: 'token 3 of 8 · id 102 · "Hi"' in lines_of(app)[-1])
        await pilot.press("G")
        await until(pilot, lambda: 'token 8 of 8 · id 107 · "</s>"' in lines_of(app)[-1])
        await pilot.press("g")
        await until(pilot, lambda: "token 1 of 8" in lines_of(app)[-1])
        await pilot.click(TokenView, offset=(5, 1))
        await until(pilot, lambda: 'token 2 of 8 · id 101 · "user:"' in lines_of(app)[-1])


async def test_problems_of_the_row_are_stepped_through_and_then_the_next_row_is_wanted() -> None:
    app = Bench()
    async with app.run_test(size=(80, 24)) as pilot:
        frame = app.query_one(RowFrame)
        frame.show_row(1, TALK._replace(problems=[wrong(2), wrong(6)]))
        frame.toggle_tokens()
        await pilot.press("g", "]")
        await until(pilot, lambda: "token 3 of 8" in lines_of(app)[-1])
        await pilot.press("]")
        await until(pilot, lambda: "token 7 of 8" in lines_of(app)[-1])
        await pilot.press("]")
        await until(pilot, lambda: app.passed == [1])
        await pilot.press("[", "[")
        await until(pilot, lambda: app.passed == [1, -1])
        frame.arrive(1)
        frame.show_row(2, TALK._replace(problems=[wrong(4)]))
        frame.toggle_tokens()
        await until(pilot, lambda: "token 5 of 8" in lines_of(app)[-1])


async def test_a_long_row_scrolls_to_its_end_and_keeps_its_place_when_drawn_anew() -> None:
    app = Bench()
    async with app.run_test(size=(80, 24)) as pilot:
        frame = app.query_one(RowFrame)
        frame.show_row(1, long_row(5_000))
        frame.view.focus()
        await pilot.press("G")
        await until(pilot, lambda: "w4999" in "\n".join(lines_of(app)))
        await pilot.press("pageup", "up")
        place = frame.view.scroll_offset.y
        frame.toggle_ids()
        await until(pilot, lambda: frame.view.scroll_offset.y > place)  # the cursor stays in sight
        assert f"token {frame.view.cursor + 1:,} of 5,000" in lines_of(app)[-1]  # type: ignore[operator]
        frame.show_row(2, TALK)
        await until(pilot, lambda: frame.view.scroll_offset.y == 0)


async def test_two_answers_stand_side_by_side_where_there_is_room_else_behind_a_key() -> None:
    pieces = ["Hi", " there"]
    both = row("Hi there", pieces, [1], turns=[("user", "Hi there")],
               rejected=side_of("Hi where", ["Hi", " where"], [1]))  # fmt: skip
    app = Bench()
    async with app.run_test(size=(80, 20)) as pilot:
        frame = app.query_one(RowFrame)
        frame.show_row(1, both)
        await until(pilot, lambda: "Hi there" in lines_of(app)[1] and "where" in lines_of(app)[1])
        frame.styles.width = 50
        await until(pilot, lambda: "row 1 · chosen" in lines_of(app)[0])
        assert "where" not in "\n".join(lines_of(app))
        frame.switch_side()
        await until(pilot, lambda: "row 1 · rejected" in lines_of(app)[0])
        assert "Hi where" in "\n".join(lines_of(app))


async def test_a_frame_says_what_was_done_to_the_row_and_draws_ascii_alone_when_asked() -> None:
    app = Bench(ASCII)
    async with app.run_test(size=(80, 20)) as pilot:
        frame = app.query_one(RowFrame)
        frame.edited, frame.dropped = {0}, {1}
        frame.show_row(1, TALK)
        await until(pilot, lambda: "row 1 - edited" in lines_of(app)[0])
        frame.show_row(2, TALK)
        frame.toggle_tokens()
        await until(pilot, lambda: "row 2 - dropped - tokens" in lines_of(app)[0])
        assert all(line[1:-1].isascii() for line in lines_of(app)[1:-1])
