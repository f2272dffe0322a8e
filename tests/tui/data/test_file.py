"""The file as a whole in the Data pane: folders, shape, what it is, statistics, trouble."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from core.data.files.offsets import OffsetSource
from tests.tui.pilots import chat, config_of, lines_of, text_of, until, write_rows
from tui.app import AfinaApp
from tui.data.dialogs.statistics import Statistics
from tui.data.pane import DataPane

SMALL, WIDE = (80, 24), (160, 45)


async def test_a_folder_is_opened_as_one_and_says_what_it_is(
    home: Path, model: Path, rows_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    for name in ("a", "b"):
        write_rows(folder / f"{name}.jsonl", [chat(f"From {name}?", f"Yes {n}.") for n in range(9)])
    (folder / "notes.xyz").write_text("no data")
    app = AfinaApp(home, config=config_of(rows_file, model))
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await until(pilot, lambda: "40 rows" in text_of(app))
        await pilot.press("o", *f"{folder}/")
        await until(pilot, lambda: "as one" in text_of(app))
        assert "2 files" in text_of(app) and "notes.xyz" not in text_of(app)
        await pilot.press("enter")
        await until(pilot, lambda: "18 rows" in text_of(app))
        assert "╭─ shards/ ──" in lines_of(app)[1]
        assert "From a?" in text_of(app) and "From b?" in text_of(app)
        await until(pilot, lambda: app.query_one(DataPane).state.surveyed)
        await pilot.press("i")
        await until(pilot, lambda: "several files as one" in text_of(app))
        for words in ("b.jsonl", "notes.xyz", "chat, like 100% of 18 rows", "<|im_end|>"):
            assert words in text_of(app), words


async def test_rows_that_stand_in_the_evaluation_file_too_are_named(
    home: Path, model: Path, tmp_path: Path
) -> None:
    rows = [chat(f"Question {n}?", f"Answer {n}.") for n in range(12)]
    train, held = (write_rows(tmp_path / f"{name}.jsonl", rows) for name in ("train", "held"))
    write_rows(held, rows[3:4])
    config = config_of(train, model, eval_path=str(held))
    app = AfinaApp(home, config=config)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "train_eval_leak" in text_of(app))
        assert sum("train_eval_leak" in line for line in lines_of(app)) == 1
        await until(pilot, lambda: app.query_one(DataPane).state.surveyed)
        app.set_config(config_of(train, model))
        await until(pilot, lambda: "train_eval_leak" not in text_of(app))


async def test_another_shape_is_kept_in_the_configuration_and_the_rows_read_anew(
    home: Path, model: Path, tmp_path: Path
) -> None:
    rows = [
        {"text": f"A document {n}.", "instruction": "Do.", "output": "Done."} for n in range(12)
    ]
    app = AfinaApp(home, config=config_of(write_rows(tmp_path / "a.jsonl", rows), model))
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        pane = app.query_one(DataPane)
        await until(pilot, lambda: pane.state.surveyed and "Alpaca · 12 rows" in text_of(app))
        await pilot.press("F")
        await until(pilot, lambda: "Alpaca: 100% of 12 rows looked at" in text_of(app))
        await pilot.press(*"text", "enter")
        await until(pilot, lambda: "text · 12 rows" in text_of(app) and pane.state.surveyed)
        assert app.config.data.format == "text"
        await until(pilot, lambda: "A document 3." in text_of(app))


async def test_statistics_say_what_each_max_length_costs_and_set_the_one_chosen(
    home: Path, model: Path, tmp_path: Path
) -> None:
    rows = [chat("Why?", "word " * (40 if n % 10 == 0 else 4)) for n in range(50)]
    config = config_of(write_rows(tmp_path / "long.jsonl", rows), model, max_length=64)
    app = AfinaApp(home, config=config)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        pane = app.query_one(DataPane)
        await until(pilot, lambda: pane.state.surveyed)
        await pilot.press("S")
        await until(pilot, lambda: "max_length" in text_of(app) and " 256 " in text_of(app))
        here = next(line for line in lines_of(app) if "▶" in line and " 64 " in line)
        assert here.split()[3:7] == ["64", "5", "10%", "805"]  # 5 rows of 225 tokens
        await until(pilot, lambda: "roles" in text_of(app) and "steps of one epoch" in text_of(app))
        await pilot.press("j", "j", "enter")
        await until(pilot, lambda: app.config.data.max_length == 256)
        await until(pilot, lambda: "truncated" not in text_of(app) and pane.state.surveyed)


async def test_statistics_that_come_before_the_dialog_stands_are_shown(
    home: Path, model: Path, rows_file: Path
) -> None:
    app = AfinaApp(home, config=config_of(rows_file, model))
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        pane = app.query_one(DataPane)
        await until(pilot, lambda: pane.state.surveyed)
        answers: list[dict[str, Any]] = []
        pane.ask("statistics", answers.append)
        await until(pilot, lambda: answers)
        for answered, words in (("take", "roles"), ("refuse", "No tokens. Choose a model.")):
            dialog = Statistics(pane.config, pane.state)
            said = {"message": "No tokens.", "hint": "Choose a model."}
            getattr(dialog, answered)(answers[0] if answered == "take" else said)
            app.push_screen(dialog)
            await until(pilot, lambda words=words: words in text_of(app))
            await pilot.press("escape")
            await until(pilot, lambda dialog=dialog: dialog not in app.screen_stack)
            getattr(dialog, answered)(answers[0] if answered == "take" else said)  # too late


async def test_a_worker_that_ends_is_started_again_once(
    home: Path, model: Path, rows_file: Path
) -> None:
    app = AfinaApp(home, config=config_of(rows_file, model))
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        pane = app.query_one(DataPane)
        for ended in (False, True):
            await until(pilot, lambda: pane.state.surveyed)
            worker = pane.dataset._worker
            assert worker is not None and pane.state.restarted is ended
            os.kill(worker.process.pid, signal.SIGKILL)
            pane.action_next_problem()
            await until(pilot, lambda: pane.state.restarted)
        await until(pilot, lambda: "The data worker was ended by SIGKILL." in lines_of(app)[-2])
        assert "Question 7?" in text_of(app)  # the rows are still there


async def test_a_file_that_is_gone_is_said_and_its_rows_stay(
    home: Path, model: Path, rows_file: Path
) -> None:
    app = AfinaApp(home, config=config_of(rows_file, model))
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        pane = app.query_one(DataPane)
        await until(pilot, lambda: pane.state.surveyed)
        kept = rows_file.rename(rows_file.with_suffix(".kept"))
        pane.notice_change()
        await until(pilot, lambda: "A file of the data is gone." in text_of(app))
        await pilot.press("G")
        await until(pilot, lambda: "Question 40?" in text_of(app))
        kept.rename(rows_file)
        pane.notice_change()
        await until(pilot, lambda: "The file is there again, as it was." in text_of(app))


async def test_reading_can_be_stopped_and_what_was_found_stays(
    home: Path, model: Path, rows_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()

    def slow(self: OffsetSource, file, on_progress, cancelled) -> bool:  # noqa: ANN001
        self._index.extend(next(iter(self._batches(file))))
        on_progress(3, 10)
        asked.wait(5)
        return not cancelled()

    monkeypatch.setattr(OffsetSource, "_scan", slow)
    app = AfinaApp(home, config=config_of(rows_file, model))
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, lambda: "reading 30%" in text_of(app))
        assert "Question 5?" in text_of(app) and "esc stop reading" in lines_of(app)[-1]
        await pilot.press("escape")
        asked.set()
        await until(pilot, lambda: "Reading was stopped after 40 rows." in text_of(app))
        assert "reading 30%" not in text_of(app) and "Question 5?" in text_of(app)
