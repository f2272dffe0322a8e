"""Moving through rows with the real data worker: filter, sort, search, marks, jumps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.tui.pilots import chat, config_of, lines_of, text_of, until, write_rows
from tui.app import AfinaApp
from tui.data.pane import DataPane
from tui.theme import AMBER
from tui.widgets.row_list import RowList

SMALL, WIDE = (80, 24), (160, 45)


def many(path: Path) -> Path:
    """Sixty rows; every tenth has a long answer, row 8 none, row 21 is no JSON."""
    rows: list[Any] = [
        chat(f"Question {n}?", "Yes. " * (20 if n % 10 == 0 else 1)) for n in range(1, 61)
    ]
    rows[7] = {"messages": [{"role": "user", "content": "Nobody answers."}]}
    rows[20] = '{"messages": [not json'
    return write_rows(path, rows)


def numbers(app: AfinaApp) -> list[int]:
    """The row numbers that the list shows."""
    pane = app.query_one(DataPane)
    return [pane.rows.index_of(position) + 1 for position in range(len(pane.rows))]


async def surveyed(pilot, app: AfinaApp) -> DataPane:  # noqa: ANN001
    pane = app.query_one(DataPane)
    await until(pilot, lambda: pane.state.surveyed)
    return pane


async def test_a_filter_is_checked_while_typed_and_shows_rows_with_their_own_numbers(
    home: Path, model: Path, tmp_path: Path
) -> None:
    app = AfinaApp(home, config=config_of(many(tmp_path / "many.jsonl"), model))
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        pane = await surveyed(pilot, app)
        await pilot.press("f", *"tokens >")
        await until(pilot, lambda: "Found the end, expected" in text_of(app))
        line = next(line for line in lines_of(app) if "tokens >" in line)
        caret = lines_of(app)[lines_of(app).index(line) + 1]
        assert caret.index("^") == line.index("tokens >") + len("tokens >")
        await pilot.press("enter")
        assert "filter" in text_of(app)  # a filter that is wrong is not taken
        await pilot.press(*" 100", "enter")
        await until(pilot, lambda: "6 of 60 rows" in text_of(app))
        assert numbers(app) == [10, 20, 30, 40, 50, 60]
        assert "many.jsonl · tokens > 100" in lines_of(app)[1]
        await pilot.press("G", "s", *"shortest", "enter")
        await until(pilot, lambda: "by tokens ↑" in text_of(app) and "tokens↑" in text_of(app))
        assert "▶" in lines_of(app)[3]  # a sorted list is read from its top
        await pilot.press("escape")
        await until(pilot, lambda: "· 60 rows" in text_of(app))
        assert pane.rows.view is None and "tokens > 100" not in text_of(app)


async def test_search_counts_its_hits_and_combines_with_a_filter(
    home: Path, model: Path, tmp_path: Path
) -> None:
    app = AfinaApp(home, config=config_of(many(tmp_path / "many.jsonl"), model))
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        pane = await surveyed(pilot, app)
        await pilot.press("slash", "tab", *"Question [45]0", "enter")
        await until(pilot, lambda: "1 of 2 hits" in text_of(app) and pane.here == 39)
        await until(pilot, lambda: "Question 40" in text_of(app))
        marked = [
            segment.text
            for segment in app.query_one("#rows", RowList).render_line(app_line(app, "Question 40"))
            if segment.style and str(segment.style).endswith(f"on {AMBER}")
        ]
        assert marked == ["Question 40"]
        await pilot.press("n")
        await until(pilot, lambda: "2 of 2 hits" in text_of(app))
        pane.show_only("row > 45")
        await until(pilot, lambda: "15 of 60 rows" in text_of(app))
        await until(pilot, lambda: "1 of 1 hit" in text_of(app))
        await pilot.press("escape")
        await until(pilot, lambda: "hit" not in text_of(app))
        assert len(pane.rows) == 15  # esc takes one thing back at a time
        await pilot.press("slash", *"re:(", "enter")
        await until(pilot, lambda: "unterminated subpattern at column" in text_of(app))


def app_line(app: AfinaApp, words: str) -> int:
    """The line of the list that has these words."""
    return next(y for y, line in enumerate(lines_of(app)[2:]) if words in line)


async def test_marked_rows_are_counted_and_can_be_shown_alone(
    home: Path, model: Path, tmp_path: Path
) -> None:
    app = AfinaApp(home, config=config_of(many(tmp_path / "many.jsonl"), model))
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await surveyed(pilot, app)
        await pilot.press("m")
        await until(pilot, lambda: "No row is marked: space marks one." in text_of(app))
        await pilot.press("space", "j", "space", "space")
        await until(pilot, lambda: "3 marked" in text_of(app))
        await pilot.press("m")
        await until(pilot, lambda: numbers(app) == [1, 3, 4])
        await pilot.press("M")
        await until(pilot, lambda: len(numbers(app)) == 60)
        assert "· 60 rows · 3 errors" in text_of(app)


async def test_the_cursor_jumps_to_a_row_and_from_problem_to_problem_in_a_view(
    home: Path, model: Path, tmp_path: Path
) -> None:
    app = AfinaApp(home, config=config_of(many(tmp_path / "many.jsonl"), model))
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        pane = await surveyed(pilot, app)
        await pilot.press("ctrl+g", *"61", "enter")
        await until(pilot, lambda: 'There is no row "61"' in text_of(app))
        await pilot.press("backspace", "0", "enter")
        await until(pilot, lambda: pane.here == 59)
        pane.show_only("row > 15")
        await until(pilot, lambda: len(pane.rows) == 45)
        await pilot.press("g", "right_square_bracket")
        await until(pilot, lambda: pane.here == 20)
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: "No row before this one has a problem." in text_of(app))
        pane.go_row(7)
        await until(pilot, lambda: "Row 8 is not among the rows" in text_of(app))
        assert pane.here == 15


async def test_a_check_of_the_list_filters_to_its_rows(
    home: Path, model: Path, tmp_path: Path
) -> None:
    app = AfinaApp(home, config=config_of(many(tmp_path / "many.jsonl"), model))
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await surveyed(pilot, app)
        await pilot.press("c")
        await until(pilot, lambda: "The line is not JSON." in text_of(app))
        line = next(line for line in lines_of(app) if "invalid_json" in line and "error" in line)
        assert " 1  The line is not JSON." in line
        await pilot.press(*"nobody", "enter")
        await until(pilot, lambda: numbers(app) == [8])
        assert '"no_assistant_message" in problems' in lines_of(app)[1]
