"""Changing rows in the Data pane: a fake editor, the real data worker."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tui.pilots import chat, config_of, lines_of, text_of, until, write_rows
from tui.app import AfinaApp
from tui.data.pane import DataPane
from tui.data.row_frame import RowFrame

WIDE, SMALL = (160, 45), (80, 24)
EDITOR = """import pathlib, sys
path = pathlib.Path(sys.argv[1])
here = pathlib.Path(__file__)
here.with_name("seen").write_text(path.read_text())
old, new = here.with_name("swap").read_text().split(">")
path.write_text(path.read_text().replace(old, new))
"""


@pytest.fixture
def swap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], object]:
    """Makes $EDITOR a program that replaces "old>new"."""
    script = tmp_path / "editor.py"
    script.write_text(EDITOR)
    monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setattr(AfinaApp, "suspend", lambda app: contextlib.nullcontext())
    return lambda words: (tmp_path / "swap").write_text(words, encoding="utf-8")


def opened(home: Path, data: Path, model: Path, **options) -> AfinaApp:  # noqa: ANN003
    return AfinaApp(home, config=config_of(data, model), **options)


def ready(app: AfinaApp) -> bool:
    return bool(app.query(DataPane)) and bool(app.query_one(DataPane).state.opened)


async def test_an_edited_row_is_shown_as_it_will_be_and_the_file_stays(
    home: Path, model: Path, rows_file: Path, tmp_path: Path, swap: Callable[[str], object]
) -> None:
    before = rows_file.read_bytes()
    app = opened(home, rows_file, model)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await until(pilot, lambda: ready(app))
        swap("Answer 1.>Better [b]one[/].")
        await pilot.press("e")
        await until(
            pilot, lambda: "Row 1 is edited. 1 edited: w writes a new file." in text_of(app)
        )
        assert "role: user" in (tmp_path / "seen").read_text()
        await until(pilot, lambda: "Better [b]one[/].<|im_end|>" in text_of(app))
        assert "╭─ row 1 · edited ──" in lines_of(app)[1]
        await until(pilot, lambda: "edited: Question 1?" in text_of(app))
        assert rows_file.read_bytes() == before
        assert not list((home / "drafts").iterdir())
        await pilot.press("u")
        await until(pilot, lambda: "take back the edit of row 1?" in text_of(app))
        await pilot.press("y")
        await until(pilot, lambda: "Answer 1.<|im_end|>" in text_of(app))
        await until(pilot, lambda: not app.query_one(DataPane).pending)


async def test_a_text_that_is_not_yaml_is_kept_and_gone_on_with(
    home: Path, model: Path, rows_file: Path, tmp_path: Path, swap: Callable[[str], object]
) -> None:
    app = opened(home, rows_file, model)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, lambda: ready(app))
        swap("role: user>role: [user")
        await pilot.press("e")
        await until(pilot, lambda: "row 1 can't be used so" in text_of(app))
        assert "line 3" in text_of(app) and "column" in text_of(app)
        (draft,) = (home / "drafts").iterdir()
        assert draft.name in text_of(app)
        await pilot.press("n")
        await until(pilot, lambda: "e goes on with it" in text_of(app))
        assert "role: [user" in draft.read_text() and draft.parent == home / "drafts"
        assert not app.query_one(RowFrame).edited
        swap("role: [user>role: user")
        await pilot.press("e")
        await until(pilot, lambda: "Go on with it?" in text_of(app))
        await pilot.press("y")
        await until(pilot, lambda: not draft.exists())
        assert "role: [user" in (tmp_path / "seen").read_text()


async def test_a_text_that_is_no_row_of_the_shape_is_told_with_its_field(
    home: Path, model: Path, rows_file: Path, swap: Callable[[str], object]
) -> None:
    app = opened(home, rows_file, model)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, lambda: ready(app))
        swap("role: user>role: wizard")
        await pilot.press("e")
        await until(pilot, lambda: "unrecognized_role messages[0].role" in text_of(app))
        swap("role: wizard>role: user")
        await pilot.press("y")
        await until(pilot, lambda: "row 1 can't be used so" not in text_of(app))


async def test_without_an_editor_one_sentence_says_so(
    home: Path, model: Path, rows_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("EDITOR", "VISUAL"):
        monkeypatch.delenv(name, raising=False)
    app = opened(home, rows_file, model)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, lambda: ready(app))
        monkeypatch.setenv("PATH", str(tmp_path))
        await pilot.press("e")
        await until(pilot, lambda: "There is no editor. Set $EDITOR." in text_of(app))


async def test_rows_are_dropped_after_a_question_and_taken_back(
    home: Path, model: Path, rows_file: Path
) -> None:
    app = opened(home, rows_file, model)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        pane = app.query_one(DataPane)
        await until(pilot, lambda: ready(app))
        await pilot.press("d")
        await until(pilot, lambda: "drop row 1?" in text_of(app))
        await pilot.press("n", "d", "y")
        await until(pilot, lambda: pane.pending.dropped == {0})
        await until(pilot, lambda: "╭─ row 1 · dropped ──" in lines_of(app)[1])
        await until(pilot, lambda: "dropped: Question 1?" in text_of(app))
        assert "1 dropped" in lines_of(app)[-3]
        await pilot.press("u")
        await until(pilot, lambda: not pane.pending)
        await pilot.press("j", "space", "space", "d")
        await until(pilot, lambda: "drop 2 rows?" in text_of(app))
        await pilot.press("y")
        await until(pilot, lambda: pane.pending.dropped == {1, 2})


async def test_what_is_pending_is_there_again_when_the_file_is_opened_anew(
    home: Path, model: Path, rows_file: Path
) -> None:
    for expected in ((), (0,)):
        app = opened(home, rows_file, model)
        async with app.run_test(size=SMALL, notifications=True) as pilot:
            pane = app.query_one(DataPane)
            await until(pilot, lambda: ready(app))  # noqa: B023
            await until(pilot, lambda: tuple(pane.pending.dropped) == expected)  # noqa: B023
            if not expected:
                await pilot.press("d", "y")
                await until(pilot, lambda: pane.pending.dropped == {0})  # noqa: B023


async def test_nothing_is_changed_where_the_workbench_may_only_look(
    home: Path, model: Path, rows_file: Path
) -> None:
    app = opened(home, rows_file, model, readonly=True)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, lambda: ready(app))
        for key in ("e", "d", "u", "w", "x"):
            await pilot.press(key)
            await until(pilot, lambda: "to look only (--readonly)" in text_of(app))
            app.clear_notifications()
        assert not (home / "edits").exists() and not (home / "drafts").exists()


async def test_stepping_through_problems_in_the_row_goes_on_to_the_next_row(
    home: Path, model: Path, tmp_path: Path
) -> None:
    rows = [chat(f"Q {n}?", f"A {n}.") for n in range(12)]
    rows[5] = {"messages": [{"role": "user", "content": "Nobody answers."}]}
    app = opened(home, write_rows(tmp_path / "odd.jsonl", rows), model)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, lambda: app.query_one(DataPane).state.surveyed)
        await pilot.press("enter")
        await until(pilot, lambda: "A 0." in text_of(app))
        await pilot.press("]")
        await until(pilot, lambda: lines_of(app)[1].startswith("╭─ row 6 ──"))
        assert "▲ no_assistant_message" in text_of(app)
        await pilot.press("v")
        await until(pilot, lambda: '"content": "Nobody answers."' in text_of(app))
