"""New files from the Data pane: written and split by the real data worker."""

from __future__ import annotations

import json
from pathlib import Path

from textual.pilot import Pilot

from tests.tui.pilots import chat, config_of, text_of, until, write_rows
from tui.app import AfinaApp
from tui.data.dialogs.output import Work
from tui.data.dialogs.write_data import WriteDialog
from tui.data.edits import Pending
from tui.data.outputs import Rows, plan_words, proposed
from tui.data.pane import DataPane
from tui.widgets.form import ValueInput

SMALL = (80, 24)


def opened(home: Path, data: Path, model: Path) -> AfinaApp:
    return AfinaApp(home, config=config_of(data, model))


def ready(app: AfinaApp) -> bool:
    return bool(app.query(DataPane)) and app.query_one(DataPane).state.surveyed


async def write(pilot: Pilot, value: str) -> None:
    """Writes a value into the option under the cursor; a long path by keys takes seconds."""
    await pilot.press("enter")
    line = pilot.app.screen.query_one(ValueInput)
    await until(pilot, lambda: line.has_focus)
    line.value = value
    await pilot.press("enter")


async def test_rows_are_written_to_a_new_file_without_the_dropped_and_the_doubled(
    home: Path, model: Path, tmp_path: Path
) -> None:
    rows = [chat(f"Q {n}?", f"A {n}.") for n in range(12)]
    data = write_rows(tmp_path / "talk.jsonl", [*rows, rows[3]])
    before = data.read_bytes()
    app = opened(home, data, model)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, lambda: ready(app))
        await pilot.press("d", "y")
        await until(pilot, lambda: app.query_one(DataPane).pending.dropped == {0})
        await pilot.press("w")
        await until(pilot, lambda: "write a new file" in text_of(app))
        assert "13 rows" in text_of(app) and "talk.edited.jsonl" in text_of(app)
        await pilot.press("j", "j", "j", "right")  # drop exact duplicates
        await until(pilot, lambda: "left        11 at least" in text_of(app))
        await pilot.press("w")
        await until(pilot, lambda: "11 of 13" in text_of(app))
        assert "1 row: exact_duplicate (row 13)" in text_of(app)
        written = (tmp_path / "talk.edited.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in written] == rows[1:]
        assert data.read_bytes() == before
        await pilot.press("o")
        await until(pilot, lambda: app.config.data.path == str(tmp_path / "talk.edited.jsonl"))
        await until(pilot, lambda: "Q 1?" in text_of(app) and "11 rows" in text_of(app))


async def test_the_open_file_is_never_written_over_and_another_one_after_a_question(
    home: Path, model: Path, rows_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "link.jsonl").symlink_to(rows_file)
    (tmp_path / "other.jsonl").write_text("mine\n")
    before = rows_file.read_bytes()
    app = opened(home, rows_file, model)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, lambda: ready(app))
        await pilot.press("w")
        await until(pilot, lambda: "write a new file" in text_of(app))
        for name in ("rows.jsonl", "link.jsonl"):
            await write(pilot, str(tmp_path / name))
            await until(pilot, lambda: "it is never written over" in text_of(app))
            await pilot.press("w")
            await pilot.pause()
            assert rows_file.read_bytes() == before and isinstance(app.screen, WriteDialog)
        await write(pilot, str(tmp_path / "other.jsonl"))
        await pilot.press("w")
        await until(pilot, lambda: "replace the file?" in text_of(app))
        await pilot.press("n")
        assert (tmp_path / "other.jsonl").read_text() == "mine\n"
        await pilot.press("w", "y")
        await until(pilot, lambda: "40 of 40" in text_of(app))
        assert (tmp_path / "other.jsonl").read_bytes() == before


async def test_what_the_worker_refuses_is_said_in_the_dialog(
    home: Path, model: Path, rows_file: Path, tmp_path: Path
) -> None:
    app = opened(home, rows_file, model)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, lambda: ready(app))
        await pilot.press("w")
        await until(pilot, lambda: "write a new file" in text_of(app))
        await write(pilot, str(tmp_path / "rows.png"))
        await pilot.press("w")
        await until(pilot, lambda: "rows.png" in text_of(app) and ".jsonl" in text_of(app))
        assert not (tmp_path / "rows.png").exists()
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, WriteDialog))


async def test_a_write_tells_how_far_it_is_and_esc_cancels_it_before_it_closes(
    home: Path, model: Path, rows_file: Path, tmp_path: Path
) -> None:
    app = opened(home, rows_file, model)
    cancelled: list[int | None] = []
    work = Work(lambda **fields: 7, cancelled.append)
    rows = Rows(40, None, Pending(), {}, True)
    dialog = WriteDialog(work, tmp_path / "new.jsonl", [rows_file], rows, None)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        app.push_screen(dialog)
        await until(pilot, lambda: "40 rows" in text_of(app))
        await pilot.press("w")
        dialog.take({"kind": "progress", "done": 10, "total": 40})
        await until(pilot, lambda: "writing 25%  10 of 40 rows" in text_of(app))
        await pilot.press("escape")
        await until(pilot, lambda: "Cancelled: nothing was written." in text_of(app))
        assert cancelled == [7] and app.screen is dialog
        dialog.take({"kind": "progress", "done": 20, "total": 40})
        await pilot.pause()
        assert "writing" not in text_of(app)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is not dialog)


async def test_only_the_rows_that_a_filter_shows_are_written(
    home: Path, model: Path, tmp_path: Path
) -> None:
    rows = [chat("Q?", "A." * (1 + n % 2)) for n in range(12)]
    data = write_rows(tmp_path / "some.jsonl", rows)
    app = opened(home, data, model)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        pane = app.query_one(DataPane)
        await until(pilot, lambda: ready(app))
        long = 1 + max(pane.rows.facts(0)["tokens"], 0)  # type: ignore[index]
        pane.show_only(f"tokens >= {long}")
        await until(pilot, lambda: pane.rows.view is not None and len(pane.rows) == 6)
        await pilot.press("w")
        await until(pilot, lambda: "6 rows of 12, those that the list shows" in text_of(app))
        await pilot.press("w")
        await until(pilot, lambda: "6 of" in text_of(app) and "written" in text_of(app))
        written = (tmp_path / "some.new.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in written] == rows[1::2]


async def test_a_split_says_its_share_and_why_and_its_files_become_the_data(
    home: Path, model: Path, rows_file: Path, tmp_path: Path
) -> None:
    app = opened(home, rows_file, model)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, lambda: ready(app))
        await pilot.press("x")
        await until(pilot, lambda: "32 rows to train on, 8 to evaluate on" in text_of(app))
        assert "20%, because the file has under 1,000" in text_of(app)
        await pilot.press("j")
        await write(pilot, "1.5")
        await until(pilot, lambda: "A share is a number between 0 and 1" in text_of(app))
        await write(pilot, "0.25")
        await until(pilot, lambda: "30 rows to train on, 10 to evaluate on" in text_of(app))
        await pilot.press("w")
        folder = tmp_path / "rows-split"
        await until(pilot, lambda: "25.0%, as asked for" in text_of(app))
        assert len((folder / "eval.jsonl").read_text().splitlines()) == 10
        await pilot.press("o")
        await until(pilot, lambda: app.config.data.path == str(folder / "train.jsonl"))
        assert app.config.data.eval_path == str(folder / "eval.jsonl")
        await until(pilot, lambda: "30 rows" in text_of(app))


def test_a_name_is_proposed_that_is_not_taken(tmp_path: Path) -> None:
    data = tmp_path / "talk.jsonl.gz"
    data.touch()
    assert proposed(str(data), edited=False) == tmp_path / "talk.new.jsonl"
    (tmp_path / "talk.new.jsonl").touch()
    assert proposed(str(data), edited=False) == tmp_path / "talk.new-2.jsonl"
    assert proposed(str(data), edited=True) == tmp_path / "talk.edited.jsonl"


def test_the_plan_counts_what_the_survey_knows() -> None:
    survey = {"errors": 3, "counts": {"exact_duplicate": 41, "truncated": 1}}
    rows = Rows(12_480, None, Pending(frozenset({1, 2}), frozenset(range(5))), survey, True)
    words = plan_words(rows, False, {"drop_errors", "drop_duplicates", "truncate"}).plain
    assert "12,480 rows" in words and "2 edited, 5 dropped" in words
    assert "12,431 at least" in words and "1 row" in words
    growing = plan_words(rows._replace(surveyed=False), False, set()).plain
    assert "12,475\nThe rows are still being checked" in growing
