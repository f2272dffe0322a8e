"""The Data pane on real files, with the real data worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tui.pilots import (
    changed,
    chat,
    config_of,
    lines_of,
    styles_of,
    text_of,
    until,
    write_rows,
)
from tui.app import AfinaApp
from tui.data.pane import DataPane
from tui.theme import AMBER, TEAL
from tui.widgets.row_list import RowList
from tui.widgets.token_view import TokenView

WIDE, SMALL = (160, 45), (80, 24)


def opened(home: Path, data: Path, model: Path, **options) -> AfinaApp:  # noqa: ANN003
    return AfinaApp(home, config=config_of(data, model, **options))


def checked(app: AfinaApp, rows: str) -> bool:
    """Whether the frame says that all rows are known."""
    text = text_of(app)
    return rows in text and "check" not in text and "p50" in text


async def test_rows_and_the_mask_stand_side_by_side_on_a_wide_screen(
    home: Path, model: Path, rows_file: Path
) -> None:
    app = opened(home, rows_file, model)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await until(pilot, lambda: checked(app, "chat · 40 rows ─╯"))
        await until(pilot, lambda: "  41  " in lines_of(app)[3])
        lines = lines_of(app)
        assert lines[0].startswith(" afina   1 Data  2 Train  3 Runs  4 Chat  5 Export")
        assert lines[1].startswith("╭─ rows.jsonl ──") and "╭─ row 1 ──" in lines[1]
        assert lines[2][:60].split() == ["│", "row", "turns", "tokens", "problem", "first", "words"]
        # <|im_start|>user\nQuestion 1?<|im_end|>\n and the answer: a byte is a token
        tokens = (1 + 5 + 11 + 1 + 1) + (1 + 10 + 9 + 1 + 1)
        assert lines[3].split()[1:7] == ["▶", "1", "2", str(tokens), "Question", "1?"]
        assert "2 messages · 41 tokens · 10 supervised" in lines[42]
        right = [line[82:-2].strip() for line in lines[2:9]]
        assert right == [
            "user",
            "Question 1?",
            "",
            "assistant  10 supervised tokens",
            "Answer 1.<|im_end|>",
            "",
            "",
        ]
        assert "p50 43   p95 43   max 43   supervised 25%   truncated 0   steps/epoch" in lines[43]


async def test_supervised_tokens_are_teal_and_underlined_and_special_ones_amber(
    home: Path, model: Path, rows_file: Path
) -> None:
    app = opened(home, rows_file, model)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        view = app.query_one(TokenView)
        await until(pilot, lambda: "Answer 1.<|im_end|>" in view.plain)
        styles = styles_of(view)
        assert styles["A"] in (f"underline {TEAL}", "underline #87ffd7")
        assert styles["<|im_end|>"] == f"bold underline {AMBER}"
        assert "underline" not in styles["Q"]


async def test_a_small_screen_shows_the_list_then_the_row_and_esc_goes_back(
    home: Path, model: Path, rows_file: Path
) -> None:
    app = opened(home, rows_file, model)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, lambda: checked(app, "40 rows"))
        assert "assistant" not in text_of(app)
        assert lines_of(app)[-1].startswith(" ? help   q quit   enter row   / search   f filt")
        await pilot.press("j", "j", "enter")
        await until(pilot, lambda: "Answer 3." in text_of(app))
        assert lines_of(app)[1].startswith("╭─ row 3 ──")
        assert "Question 1?" not in text_of(app)
        assert "esc back" in lines_of(app)[-1]
        await pilot.press("J")
        await until(pilot, lambda: "Answer 4." in text_of(app))
        await pilot.press("escape")
        assert lines_of(app)[1].startswith("╭─ rows.jsonl ──")
        assert "▶    4" in text_of(app)


@pytest.mark.parametrize("size", [SMALL, WIDE])
async def test_markup_and_escape_sequences_in_data_are_text(
    home: Path, model: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    row = chat("[bold red]hot[/] \x1b[31m\x07", "[link=x]\x1b]52;c;AAAA\x07 done")
    data = write_rows(tmp_path / "[b]odd.jsonl", [row] * 12)
    app = opened(home, data, model)
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: "[bold red]hot[/] ␛[31m␇" in text_of(app))
        assert "╭─ [b]odd.jsonl ──" in lines_of(app)[1]
        await pilot.press("enter")
        await until(pilot, lambda: "[link=x]␛]52;c;AAAA␇ done<|im_end|>" in text_of(app))
        assert "\x1b" not in text_of(app) and "\x07" not in text_of(app)


async def test_problems_stand_in_the_list_and_below_the_row_with_their_fix(
    home: Path, model: Path, tmp_path: Path
) -> None:
    rows: list[Any] = [chat(f"Q {n}?", f"A {n}.") for n in range(30)]
    rows[7] = {"messages": [{"role": "user", "content": "Nobody answers."}]}
    rows[20] = '{"messages": [not json'
    data = write_rows(tmp_path / "bad.jsonl", rows)
    app = opened(home, data, model)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await until(pilot, lambda: checked(app, "3 errors"))
        await pilot.press("]")
        await until(pilot, lambda: "▲ no_assistant_message" in text_of(app))
        assert "Add the answer, or drop the row." in text_of(app)
        assert lines_of(app)[1].rpartition("╭─ ")[2].startswith("row 8 ")
        await pilot.press("]")
        await until(pilot, lambda: "▲ invalid_json" in text_of(app))
        assert '{"messages": [not json' in text_of(app)
        await pilot.press("]")
        await until(pilot, lambda: "No row after this one has a problem." in text_of(app))
        await pilot.press("[")
        await until(pilot, lambda: "▲ zero_supervised_tokens" in text_of(app))


async def test_a_cut_row_shows_what_is_lost_and_another_max_length_encodes_anew(
    home: Path, model: Path, tmp_path: Path
) -> None:
    data = write_rows(tmp_path / "long.jsonl", [chat("Why?", "Because of the tide.")] * 20)
    app = opened(home, data, model, max_length=32)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await until(pilot, lambda: "truncated 20" in text_of(app))
        await until(pilot, lambda: "▲ truncated" in text_of(app))
        view = app.query_one(TokenView)
        struck = [words for words, style in styles_of(view).items() if "strike" in style]
        assert struck == ["f the tide."]
        app.set_config(changed(app.config, "data", max_length=200))
        await until(pilot, lambda: "truncated 0" in text_of(app))
        await until(pilot, lambda: "▲ truncated" not in text_of(app))
        assert "Because of the tide.<|im_end|>" in view.plain


async def test_search_goes_to_the_rows_that_have_the_words_and_marks_them(
    home: Path, model: Path, tmp_path: Path
) -> None:
    rows = [chat(f"Q {n}?", f"A {n}.") for n in range(50)]
    rows[30] = chat("¿Cuándo?", "El pingüino llega en marzo.")
    rows[44] = chat("Wer?", "PINGÜINO, wieder.")
    app = opened(home, write_rows(tmp_path / "find.jsonl", rows), model)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await until(pilot, lambda: checked(app, "50 rows"))
        await pilot.press("slash", *"pingüino", "enter")
        cursor = app.query_one("#rows", RowList)
        await until(pilot, lambda: cursor.cursor == 30)
        await pilot.press("n")
        await until(pilot, lambda: cursor.cursor == 44)
        await pilot.press("n")
        await until(pilot, lambda: cursor.cursor == 30)
        assert "went round the end" in text_of(app)
        await pilot.press("N")
        await until(pilot, lambda: cursor.cursor == 44)
        view = app.query_one(TokenView)
        await until(pilot, lambda: "PINGÜINO" in view.plain)
        assert [view.plain[start:end] for start, end in view.found] == ["PINGÜINO"]
        await pilot.press("slash", *"nowhere", "enter")
        await until(pilot, lambda: 'No row has "nowhere".' in text_of(app))


async def test_tokens_can_stand_apart_with_their_ids(
    home: Path, model: Path, rows_file: Path
) -> None:
    app = opened(home, rows_file, model)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        view = app.query_one(TokenView)
        await until(pilot, lambda: "Answer 1.<|im_end|>" in view.plain)
        await pilot.press("t")
        assert "<|im_start|>user↵" in view.plain
        await pilot.press("number_sign")
        assert "<|im_start|>₂₅₇ u₈₄ s₈₂ e₆₈ r₈₁ ↵" in view.plain
        await pilot.press("t")
        assert "₂₅₇" not in view.plain and "im_start" not in view.plain


async def test_without_a_model_the_rows_are_read_and_the_reason_is_said(
    home: Path, rows_file: Path, tmp_path: Path
) -> None:
    app = opened(home, rows_file, tmp_path / "no-model")
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, lambda: "▲" in lines_of(app)[-2])
        assert "There is no model" in lines_of(app)[-2]
        assert "Question 18?" in text_of(app)
        await pilot.press("t")
        await until(pilot, lambda: "▌ There is no model" in text_of(app))
        await pilot.press("enter")
        assert "Answer 1." in text_of(app) and "<|im_end|>" not in text_of(app)
        assert "▲ not encoded There is no model" in text_of(app)


async def test_a_file_that_is_not_there_is_said_in_one_sentence(home: Path, model: Path) -> None:
    app = opened(home, Path("/nowhere/rows.jsonl"), model)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, lambda: 'There is no file "/nowhere/rows.jsonl".' in text_of(app))
        await pilot.press("slash")
        await until(pilot, lambda: "No rows are open." in text_of(app))


async def test_opening_another_file_makes_it_the_training_data(
    home: Path, model: Path, rows_file: Path, tmp_path: Path
) -> None:
    other = write_rows(tmp_path / "other.jsonl", [chat("Elsewhere?", "Yes.")] * 11)
    app = opened(home, rows_file, model, eval_path=str(rows_file))
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, lambda: checked(app, "40 rows"))
        await pilot.press("o")
        await until(pilot, lambda: "open data" in text_of(app))
        await pilot.press(*str(tmp_path / "oth"), "tab", "enter")
        await until(pilot, lambda: checked(app, "11 rows"))
        assert "Elsewhere?" in text_of(app)
        assert app.config.data.path == str(other)
        assert app.config.data.eval_path is None
        assert app.session.recent == [str(other)]


async def test_only_the_rows_in_sight_are_read(home: Path, tmp_path: Path) -> None:
    data = tmp_path / "many.jsonl"
    line = '{"messages": [{"role": "user", "content": "%d"}]}\n'
    data.write_text("".join(line % number for number in range(100_000)))
    app = opened(home, data, tmp_path / "no-model")
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        pane = app.query_one(DataPane)
        await until(pilot, lambda: "100,000 rows" in text_of(app))
        rows = pane.rows
        seen: set[int] = set()
        cells = rows.cells
        rows.cells = lambda index: (seen.add(index), cells(index))[1]  # type: ignore[method-assign]
        await pilot.press("G")
        await until(pilot, lambda: "▶  100,000" in text_of(app))
        assert lines_of(app)[-4].split() == ["│", "▶", "100,000", "1", "99999", "│"]
        assert len(seen) < 100 and max(seen) == 99_999


async def test_a_row_is_copied_as_it_stands_in_the_file(
    home: Path, model: Path, rows_file: Path
) -> None:
    app = opened(home, rows_file, model)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, lambda: "40 rows" in text_of(app))
        await pilot.press("j", "y")
        await until(pilot, lambda: "Copied to the clipboard and to" in text_of(app))
        copied = (home / "clipboard.txt").read_text(encoding="utf-8")
        assert copied == rows_file.read_text(encoding="utf-8").splitlines()[1]


async def test_a_file_that_was_written_meanwhile_is_read_anew_at_the_same_row(
    home: Path, model: Path, rows_file: Path
) -> None:
    app = opened(home, rows_file, model)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await until(pilot, lambda: checked(app, "40 rows"))
        for _ in range(4):
            await pilot.press("j")
        lines = rows_file.read_text().splitlines()
        write_rows(
            rows_file, [*lines[:4], lines[4].replace("Answer 5", "Better 5"), *lines[5:], lines[0]]
        )
        app.query_one(DataPane).on_pane_shown()
        await until(pilot, lambda: checked(app, "41 rows"))
        await until(pilot, lambda: "Better 5." in text_of(app))
        assert "▶    5" in text_of(app)
        assert "1 warning" in text_of(app)
