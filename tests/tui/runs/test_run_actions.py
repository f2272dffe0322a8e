"""What the Runs pane asks of a run, and how it resumes and forks one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot

from core.runs.run import Run
from core.train.checkpoint import resume
from core.train.checkpoint.resume import Difference
from tests.tui.homes import write_adapter, write_checkpoint, write_run
from tests.tui.pilots import text_of, until
from tui.app import AfinaApp
from tui.runs.pane import RunsPane
from tui.train.pane import TrainPane
from tui.widgets.frame import Words

NARROW = (80, 24)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Difference]:
    """What is another than when the run was started; a test fills it."""
    differences: list[Difference] = []
    monkeypatch.setattr(resume, "differences", lambda run: differences)
    return differences


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr(Run, "start", lambda run, worker: names.append(run.name))
    return names


@asynccontextmanager
async def opened(home: Path, readonly: bool = False) -> AsyncIterator[tuple[AfinaApp, Pilot]]:
    app = AfinaApp(home, readonly=readonly)
    app.first_pane = "runs"
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        await until(pilot, lambda: isinstance(app.pane, RunsPane) and app.pane.chosen, "the runs")
        yield app, pilot


def asked_of(run: Run) -> list[dict]:
    path = run.directory / "control.jsonl"
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [msgspec.json.decode(line) for line in lines]


async def learns_nothing(app: AfinaApp) -> None:
    """Reading the sample data is not what a test of keys waits for."""


def words(app: AfinaApp) -> str:
    return str(app.screen.query_one("#words", Words).content)


async def test_pausing_asks_first_and_then_requests_it(home: Path) -> None:
    run = write_run(home, "travel-lora", "running", at=20)
    async with opened(home) as (app, pilot):
        await pilot.press("z")
        await until(pilot, lambda: "Pause travel-lora at step 20/900?" in text_of(app))
        assert "the device is free" in words(app)
        await pilot.press("y")
        await until(pilot, lambda: [each["kind"] for each in asked_of(run)] == ["pause"])


async def test_a_second_stop_asks_to_end_now(home: Path) -> None:
    run = write_run(home, "travel-lora", "stopping", at=20, checkpoints=(10,))
    async with opened(home) as (app, pilot):
        await pilot.press("s")
        await until(pilot, lambda: "End travel-lora now?" in text_of(app))
        assert "Nothing after step 10 is kept" in words(app)
        await pilot.press("y")
        await until(pilot, lambda: asked_of(run))
        assert asked_of(run)[0]["kind"] == "stop" and asked_of(run)[0]["now"] is True


@pytest.mark.parametrize("key, action", [("e", "evaluate"), ("w", "sample"), ("c", "checkpoint")])
async def test_what_ends_nothing_is_asked_at_once(home: Path, key: str, action: str) -> None:
    run = write_run(home, "travel-lora", "running", at=20)
    async with opened(home) as (app, pilot):
        await pilot.press(key)
        await until(pilot, lambda: [each["kind"] for each in asked_of(run)] == [action])
        await until(pilot, lambda: f"Asked travel-lora: {action}." in text_of(app))


@pytest.mark.parametrize("key", ["z", "e", "w", "c", "s"])
async def test_only_a_run_at_work_is_asked_for_something(home: Path, key: str) -> None:
    run = write_run(home, "travel-lora", "paused", at=20, checkpoints=(20,))
    async with opened(home) as (app, pilot):
        await pilot.press(key)
        await until(pilot, lambda: "travel-lora is not at work: it is paused." in text_of(app))
        assert asked_of(run) == []


@pytest.mark.parametrize("key", ["z", "e", "w", "r"])
async def test_readonly_asks_nothing_of_a_run(home: Path, key: str) -> None:
    run = write_run(home, "travel-lora", "running", at=9)
    async with opened(home, readonly=True) as (app, pilot):
        await pilot.press(key)
        await until(pilot, lambda: "--readonly" in text_of(app))
        assert asked_of(run) == []


async def test_a_paused_run_says_so_with_the_key_that_goes_on(home: Path) -> None:
    write_run(home, "travel-lora", "paused", at=312, checkpoints=(312,))
    async with opened(home) as (app, _):
        assert "paused at step 312/900" in text_of(app)
        assert "r resume" in text_of(app)


async def test_resume_names_its_checkpoint_and_starts_the_worker(
    home: Path, found: list[Difference], started: list[str]
) -> None:
    write_run(home, "travel-full", "stopped", at=312, checkpoints=(200, 300))
    found.append(Difference("torch", "2.12.0", "2.13.0", False))
    async with opened(home) as (app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: "Resume travel-full from step 300 of 900?" in text_of(app))
        assert "12 steps after it are done again." in words(app)
        assert "torch  2.12.0 -> 2.13.0" in words(app)
        await pilot.press("y")
        await until(pilot, lambda: started == ["travel-full"])


async def test_what_would_make_it_another_run_wants_a_typed_word(
    home: Path, found: list[Difference], started: list[str]
) -> None:
    run = write_run(home, "travel-full", "paused", at=300, checkpoints=(300,))
    found.append(Difference("data.path", "1,000 rows", "900 rows", True))
    async with opened(home) as (app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: "Resume travel-full from step 300" in text_of(app))
        assert "data.path  1,000 rows -> 900 rows" in words(app)
        await pilot.press("y", "enter")
        await until(pilot, lambda: "esc leaves it." in text_of(app))
        assert started == []
        await pilot.press("backspace", *"force", "enter")
        await until(pilot, lambda: started == ["travel-full"])
        assert resume.is_forced(run)


async def test_a_fork_opens_the_configuration_and_may_go_on_from_a_point(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AfinaApp, "learn_data", learns_nothing)
    run = write_run(home, "travel-lora", "done", at=900, result=True)
    best = run.state().best_step
    assert best is not None
    write_adapter(write_checkpoint(run, best))
    async with opened(home) as (app, pilot):
        await pilot.press("f")
        await until(pilot, lambda: "╭─ a new run out of travel-lora" in text_of(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.pane, TrainPane))
        assert app.config == run.config and app.config.model.continue_from is None
        await pilot.press("3")
        await until(pilot, lambda: isinstance(app.pane, RunsPane))
        await pilot.press("f", *"best", "enter")
        await until(pilot, lambda: app.config.model.continue_from == f"{run.id}@best")
        assert isinstance(app.pane, TrainPane)
        await pilot.press("u")
        assert app.config == run.config
