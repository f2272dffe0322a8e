"""The Runs pane over runs that were written as a worker would write them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot

from core.jobs import State, process_identity
from tests.tui.homes import (
    append_event,
    travel_home,
    write_checkpoint,
    write_run,
    write_samples,
)
from tests.tui.pilots import lines_of, text_of, until
from tui.app import AfinaApp
from tui.runs.pane import RunsPane
from tui.runs.poller import RunsPoller
from tui.runs.view import FollowedRun, tail_lines

WIDE, NARROW = (160, 45), (80, 24)


@asynccontextmanager
async def opened(
    home: Path, size: tuple[int, int] = WIDE, **options: bool
) -> AsyncIterator[tuple[AfinaApp, Pilot]]:
    """The app with the Runs pane shown and read once."""
    app = AfinaApp(home, **options)
    app.first_pane = "runs"
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: isinstance(app.pane, RunsPane), "the pane")
        pane = app.pane
        assert isinstance(pane, RunsPane)
        if list((home / "runs").glob("*")):
            await until(pilot, lambda: pane.chosen, "the first look")
            await until(pilot, lambda: "reading" not in text_of(app), "the details")
        yield app, pilot


def row_of(app: AfinaApp, name: str) -> list[str]:
    """The words of a run's row in the list."""
    line = next(line for line in lines_of(app) if f" {name} " in line and "│" in line[:2])
    return line.strip("│ ").replace("▶", "").split()


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_the_list_says_in_words_how_every_run_stands(
    home: Path, size: tuple[int, int]
) -> None:
    travel_home(home)
    async with opened(home, size) as (app, _):
        assert row_of(app, "travel-lora")[:3] == ["travel-lora", "running", "412/900"]
        assert row_of(app, "travel-qlora")[:3] == ["travel-qlora", "done", "900/900"]
        assert row_of(app, "travel-full")[:3] == ["travel-full", "stopped", "300/900"]
        assert row_of(app, "travel-r64")[:4] == ["travel-r64", "failed", "17/900", "nan"]
        assert row_of(app, "support-full")[:3] == ["support-full", "interrupted", "-"]


async def test_the_curve_of_the_chosen_run_is_drawn_with_its_newest_values(home: Path) -> None:
    runs = travel_home(home)
    append_event(runs["running"], "step", step=413, steps=900, loss=0.5, eta_s=480.0)
    async with opened(home) as (app, _):
        text = text_of(app)
        assert "loss 0.50   • eval 1.04" in text
        assert "step 413/900 · " in text and "8 min left" in text
        assert "learning rate" in text and "tokens/s" in text


async def test_new_steps_appear_while_one_looks(home: Path) -> None:
    run = write_run(home, "travel-lora", "running", at=10)
    async with opened(home) as (app, pilot):
        append_event(run, "step", step=11, steps=900, loss=0.123, tokens_per_s=4000.0)
        await until(pilot, lambda: "loss 0.12" in text_of(app), "the new loss")
        await until(pilot, lambda: row_of(app, "travel-lora")[2:4] == ["11/900", "0.12"], "row")


async def test_before_the_first_step_the_phase_is_shown(home: Path) -> None:
    write_run(
        home,
        "travel-lora",
        "starting",
        at=0,
        steps=0,
        phases=(("loading packages", ""), ("loading model", "tiny-travel")),
    )
    async with opened(home, NARROW) as (app, _):
        text = text_of(app)
        assert "● loading model tiny-travel" in text


async def test_numbers_that_are_stale_say_so(home: Path) -> None:
    write_run(home, "travel-lora", "running", at=50, started=time.time() - 50 - 42)
    async with opened(home, NARROW) as (app, _):
        assert "▲ no event for 4" in text_of(app)
        assert "its numbers are from then" in text_of(app)


async def test_the_strip_tells_the_newest_finding_and_the_keys_for_it(home: Path) -> None:
    travel_home(home)
    async with opened(home) as (app, _):
        strip = next(line for line in lines_of(app) if "flat for 4" in line and "│" not in line)
        assert strip.split("   ") [:1] == [
            " ▲ Eval loss has been flat for 4 evaluations.  Best is 1.03 at step 360."
        ]  # fmt: skip
        assert "s stop   c checkpoint now" in strip


async def test_a_failed_run_says_why_and_what_to_do(home: Path) -> None:
    run = write_run(home, "travel-r64", "failed", at=17, checkpoints=(10,))
    append_event(run, "failure", message="The loss is nan at step 17.", hint="Lower the rate.")
    async with opened(home) as (app, _):
        strip = lines_of(app)[-2]
        assert "▲ failed: The loss is nan at step 17.  Lower the rate." in strip
        assert "r resume from step 10   l log" in strip


async def test_samples_are_shown_evaluation_by_evaluation(home: Path) -> None:
    travel_home(home)
    async with opened(home) as (app, pilot):
        await pilot.press("right")
        await until(pilot, lambda: "Rome is calling!" in text_of(app), "the newest answers")
        assert "step 360 · evaluation 3 of 3" in text_of(app)
        await pilot.press("[")
        await until(pilot, lambda: "Rome is lovely" in text_of(app), "the answers before")
        assert "step 240 · evaluation 2 of 3" in text_of(app)
        assert "▌ Where should I stay in Rome?" in text_of(app)
        await pilot.press("]")
        await until(pilot, lambda: "Rome is calling!" in text_of(app), "the newest again")


async def test_markup_and_escape_sequences_in_answers_and_logs_are_text(home: Path) -> None:
    run = write_run(home, "travel-lora", "running", at=20)
    write_samples(run, (20, "[b]Ask[/b]", "\x1b[2J[red]boo[/red]"))
    run.log_path.write_text("[link=x]log\x1b]52;c;AAAA\x07\n")
    append_event(run, "finding", severity="note", message="[blink]\x1b[5mhey", hint="")
    async with opened(home) as (app, pilot):
        assert "[blink]␛[5mhey" in text_of(app)
        await pilot.press("right")
        await until(pilot, lambda: "␛[2J[red]boo[/red]" in text_of(app), "the answer as text")
        assert "▌ [b]Ask[/b]" in text_of(app)
        await pilot.press("l")
        await until(pilot, lambda: "[link=x]log␛]52;c;AAAA␇" in text_of(app), "the log as text")


async def test_l_shows_the_log_and_the_curves_again(home: Path) -> None:
    travel_home(home)
    async with opened(home, NARROW) as (app, pilot):
        await pilot.press("l")
        await until(pilot, lambda: "Trainer is ready" in text_of(app), "the log")
        await pilot.press("l")
        await until(pilot, lambda: "loss 1" in text_of(app) or "loss 0" in text_of(app), "curves")


async def test_the_configuration_and_the_checkpoints_have_tabs(home: Path) -> None:
    runs = travel_home(home)
    write_checkpoint(runs["running"], 410, complete=False)
    async with opened(home) as (app, pilot):
        await pilot.press("left")
        await until(pilot, lambda: "half written" in text_of(app), "the checkpoints")
        rows = [line.split("││")[-1].strip("│ ▶\n").split() for line in lines_of(app)]
        newest = next(row for row in rows if row[:1] == ["400"])
        assert newest[:5] == ["400", "1.04", "9.2", "MiB", "resumable"]
        assert newest[-3:] == ["best,", "newest,", "interval"]
        half = next(row for row in rows if row[:1] == ["410"])
        assert half[3:5] == ["half", "written"]
        await pilot.press("left")
        await until(pilot, lambda: "data.path" in text_of(app), "the configuration")


async def test_stopping_asks_first_and_then_requests_it(home: Path) -> None:
    run = write_run(home, "travel-lora", "running", at=20)
    control = run.directory / "control.jsonl"
    async with opened(home, NARROW) as (app, pilot):
        await pilot.press("s")
        await until(pilot, lambda: "Stop travel-lora at step 20/900?" in text_of(app), "question")
        await pilot.press("n")
        assert not control.exists()
        await pilot.press("s", "y")
        await until(pilot, control.exists, "the request")
        assert '"kind":"stop"' in control.read_text()


async def test_the_answer_to_a_request_is_told(home: Path) -> None:
    run = write_run(home, "travel-lora", "running", at=20)
    async with opened(home) as (app, pilot):
        await pilot.press("c")
        await until(pilot, (run.directory / "control.jsonl").exists, "the request")
        append_event(run, "control", request=1, action="checkpoint", result="saved step-000020")
        await until(pilot, lambda: "checkpoint: saved step-000020" in text_of(app), "the answer")


async def test_delete_asks_and_refuses_a_run_at_work(home: Path) -> None:
    done = write_run(home, "old", "done", at=900)
    active = write_run(home, "new", "running", at=3)
    async with opened(home) as (app, pilot):
        await pilot.press("d")
        await until(pilot, lambda: "new is at work; stop it first." in text_of(app), "the refusal")
        await pilot.press("j", "d")
        await until(pilot, lambda: "Delete old?" in text_of(app), "the question")
        await pilot.press("y")
        await until(pilot, lambda: not done.directory.exists(), "the deletion")
        assert active.directory.exists()


async def test_keys_that_can_do_nothing_say_why(home: Path) -> None:
    write_run(home, "travel-lora", "done", at=900)
    async with opened(home) as (app, pilot):
        await pilot.press("s")
        await until(pilot, lambda: "is not at work: it is done." in text_of(app), "why not")


async def test_readonly_changes_nothing(home: Path) -> None:
    run = write_run(home, "travel-lora", "running", at=9)
    async with opened(home, readonly=True) as (app, pilot):
        await pilot.press("c")
        await until(pilot, lambda: "--readonly" in text_of(app), "why not")
        assert not (run.directory / "control.jsonl").exists()


async def test_a_home_without_runs_says_what_to_do(home: Path) -> None:
    async with opened(home, NARROW) as (app, _):
        assert "No runs yet. 2 configures one and starts it." in text_of(app)


async def test_the_cursor_stays_on_its_run_when_another_begins(home: Path) -> None:
    write_run(home, "first", "done", at=900)
    async with opened(home) as (app, pilot):
        pane = app.pane
        assert isinstance(pane, RunsPane)
        assert pane.chosen and pane.chosen.name == "first"
        write_run(home, "second", "running", at=3)
        await until(pilot, lambda: "second" in text_of(app), "the new run")
        assert pane.chosen and pane.chosen.name == "first"


async def test_ascii_draws_nothing_else(home: Path) -> None:
    travel_home(home)
    async with opened(home, NARROW, ascii_only=True) as (app, _):
        assert text_of(app).isascii()


async def test_a_hidden_pane_reads_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(home, "travel-lora", "done", at=900)
    async with opened(home) as (app, pilot):
        await app.show_pane("data")
        looks: list[int] = []
        look = RunsPoller.look
        monkeypatch.setattr(RunsPoller, "look", lambda feed: looks.append(1) or look(feed))
        await app.show_pane("runs")
        await until(pilot, lambda: looks, "a look once it is shown")
        await app.show_pane("data")
        await pilot.pause(0.1)
        seen = len(looks)
        await pilot.pause(1.5)
        assert len(looks) <= seen + 1


def test_a_resumed_run_shows_its_steps_as_far_as_it_has_got_again(home: Path) -> None:
    run = write_run(home, "travel-lora", "running", at=30)
    followed = FollowedRun(run)
    followed.look()
    append_event(run, "phase", name="reading data", detail="")
    append_event(run, "step", step=21, steps=900, loss=9.0)
    view, curve = followed.look(), followed.detail().curves["loss"]
    assert [step for step, _ in curve] == list(range(1, 22))
    assert curve[-1] == (21, 9.0)
    assert view.step == 21


def test_a_run_of_another_process_that_is_gone_is_interrupted(home: Path) -> None:
    run = write_run(home, "travel-lora", "running", at=30)
    run.write_state(
        State(
            "running",
            pid=os.getpid(),
            process=f"{process_identity(os.getpid())}0",
            step=30,
            steps=900,
        )
    )
    view = FollowedRun(run).look()
    assert view.state == "interrupted"
    assert "log.txt" in view.reason


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("".join(f"line {i}\n" for i in range(100_000)) + "half")
    lines = tail_lines(path, most_bytes=1000)
    assert lines[-2:] == ["line 99999", "half"]
    assert len(lines) < 100 and lines[0].startswith("line ")


def test_the_pane_loads_nothing_heavy() -> None:
    import subprocess

    code = (
        "import afina, sys, tui.runs.pane, tui.chat.pane, tui.export.pane\n"
        "heavy = ['torch', 'transformers', 'datasets', 'peft', 'trl', 'pyarrow', 'llama_cpp']\n"
        "sys.exit(', '.join(name for name in heavy if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
