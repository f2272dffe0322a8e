"""The tabs of the Runs pane: findings, the configuration, lineage, a classifier's mistakes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from textual.pilot import Pilot

from core.runs.run import Run
from tests.tui.homes import append_event, write_checkpoint, write_run
from tests.tui.pilots import lines_of, text_of, until
from tui.app import AfinaApp
from tui.runs.confusion import ConfusionRows, mistakes
from tui.runs.detail import Confusion, finding_of
from tui.runs.pane import RunsPane
from tui.runs.view import FollowedRun

WIDE, NARROW = (160, 45), (80, 24)
LABELS = ["food", "hotel", "flight"]
TABLE = [[31, 2, 0], [1, 28, 4], [0, 0, 30]]


@asynccontextmanager
async def opened(
    home: Path, tab: str, size: tuple[int, int] = NARROW
) -> AsyncIterator[tuple[AfinaApp, Pilot]]:
    app = AfinaApp(home)
    app.first_pane = "runs"
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: isinstance(app.pane, RunsPane) and app.pane.chosen, "the runs")
        await until(pilot, lambda: "reading" not in text_of(app), "the details")
        assert isinstance(app.pane, RunsPane)
        app.pane._tabs.open_tab(tab)
        yield app, pilot


def words_of(app: AfinaApp) -> list[list[str]]:
    return [line.split("││")[-1].strip("│ ▶").split() for line in lines_of(app)]


async def test_retries_and_the_proof_stand_among_the_findings(home: Path) -> None:
    run = write_run(home, "travel-lora", "done", at=20, steps=20, result=True)
    message = "Out of memory at step 12: from step 10 on with 4 rows a pass."
    append_event(run, "retry", why="oom", step=12, from_step=10, message=message)
    append_event(run, "finding", severity="warning", step=15, message="Eval loss has been flat.",
                 hint="Best is 1.03.")  # fmt: skip
    append_event(run, "proof", loads=True, moved=True, eval_loss=1.03125, reported=1.03125,
                 difference=0.0)  # fmt: skip
    async with opened(home, "findings") as (app, pilot):
        await until(pilot, lambda: "Out of memory at step 12" in text_of(app))
        text = " ".join(text_of(app).replace("│", " ").split())
        assert "its eval loss is 1.0312, 1.0312 was reported." in text
        # the newest first
        order = [text.index(words) for words in ("loaded from its files", "been flat", "Out of")]
        assert order == sorted(order)


async def test_a_retry_is_the_newest_thing_to_know(home: Path) -> None:
    run = write_run(home, "travel-lora", "running", at=20)
    message = "The loss is nan at step 20: from step 10 on at half the rate."
    append_event(run, "retry", why="divergence", step=20, from_step=10, message=message)
    async with opened(home, "curves") as (app, _):
        assert f"▲ {message}" in text_of(app)
        row = next(words for words in words_of(app) if words[:1] == ["travel-lora"])
        assert row[:3] == ["travel-lora", "retry", "20/900"]


async def test_what_is_not_at_its_default_comes_first_with_where_the_run_comes_from(
    home: Path,
) -> None:
    run = write_run(home, "travel-lora", "running", at=20)
    origin = {"continues": "first-3f9a", "point": 560, "base": "b", "sha256": "c"}
    origin["ancestors"] = ["zero-11aa", "first-3f9a"]
    (run.directory / "lineage.json").write_bytes(msgspec.json.encode(origin))
    retried = {"per_device_train_batch_size": 4, "learning_rate_factor": 0.5}
    (run.directory / "recovery.json").write_bytes(msgspec.json.encode(retried))
    async with opened(home, "config") as (app, pilot):
        await until(pilot, lambda: "goes on from" in text_of(app))
        assert "first-3f9a, step 560" in text_of(app)
        assert "which goes on from zero-11aa" in text_of(app)
        for words in ("per_device_train_batch_size 4", "learning_rate times 0.5"):
            assert words in text_of(app)
        assert "eval.every_steps                  40, not 100" in text_of(app)


async def test_a_checkpoint_that_lacks_a_file_can_not_be_resumed_from(home: Path) -> None:
    run = write_run(home, "travel-lora", "stopped", at=20)
    folder = write_checkpoint(run, 20)
    record = {"files": {"optimizer.pt": {"bytes": 9, "sha256": ""}}}
    (folder / "manifest.json").write_bytes(msgspec.json.encode(record))
    async with opened(home, "checkpoints") as (app, pilot):
        await until(pilot, lambda: ["20", "-", "-", "incomplete", "-", "newest"] in words_of(app))
        (folder / "optimizer.pt").write_bytes(b"123456789")
        await until(pilot, lambda: ["20", "-", "-", "resumable", "-", "newest"] in words_of(app))


def classifier(home: Path, table: list[list[int]], classes: list[str]) -> Run:
    run = write_run(home, "intents", "running", at=20)
    append_event(run, "plan", objective="classification", classes=classes)
    append_event(run, "eval", step=20, eval_loss=0.4, accuracy=0.9, confusion=table)
    return run


async def test_a_classifier_shows_what_it_takes_for_what(home: Path) -> None:
    classifier(home, TABLE, LABELS)
    async with opened(home, "classes") as (app, pilot):
        await until(pilot, lambda: "89 of 96 right" in text_of(app))
        lines = words_of(app)
        assert ["class", "food", "hotel", "flight", "found"] in lines
        assert ["food", "31", "2", "0", "94%"] in lines
        assert ["flight", "0", "0", "30", "100%"] in lines
        assert "Samples" not in text_of(app)


async def test_the_tab_of_answers_turns_into_the_one_of_classes(home: Path) -> None:
    write_run(home, "travel-lora", "running", at=20)
    classifier(home, TABLE, LABELS)
    async with opened(home, "classes") as (app, pilot):
        await until(pilot, lambda: "89 of 96 right" in text_of(app))
        await pilot.press("G")
        await until(pilot, lambda: "No answers yet." in text_of(app))
        await pilot.press("g")
        await until(pilot, lambda: "89 of 96 right" in text_of(app))


def test_classes_that_are_too_many_are_a_list_of_mistakes() -> None:
    rows = ConfusionRows()
    confusion = Confusion(20, LABELS, TABLE)
    assert mistakes(confusion) == [(1, 2, 4), (0, 1, 2), (1, 0, 1)]
    columns = rows.show(confusion, 24)
    assert [column.title for column in columns] == ["class", "taken for", "rows"]
    assert len(rows) == 3
    assert [cell if isinstance(cell, str) else cell[0] for cell in rows.cells(0)] == [
        "hotel",
        "flight",
        "4",
    ]


def test_names_of_classes_are_shown_as_text() -> None:
    rows = ConfusionRows()
    columns = rows.show(Confusion(1, ["\x1b[31mred", "b"], [[1, 0], [0, 1]]), 80)
    assert "\x1b" not in "".join(column.title for column in columns)


def test_steps_tell_how_long_they_waited_for_their_rows(home: Path) -> None:
    run = write_run(home, "travel-lora", "running", at=3)
    append_event(run, "step", step=4, steps=900, loss=1.0, step_s=2.0, data_wait_s=0.5)
    assert FollowedRun(run).look().data_wait == 0.25


def test_only_what_tells_something_is_a_finding() -> None:
    assert finding_of({"kind": "step", "step": 4}) is None
    found = finding_of({"kind": "retry", "why": "oom", "step": 4, "from_step": 2})
    assert found is not None and found.message == "Out of memory: it goes on from step 2."
