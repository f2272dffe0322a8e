"""`afina train` and the commands about runs: real processes from start to end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.config import Config, config_io
from core.jobs import ENDED
from core.paths import ROOT
from core.runs.run import Run, all_runs
from tests.core.train.conftest import chat_file, configure, tiny_model  # noqa: F401
from tests.tui.homes import write_run

DEADLINE_S = 120.0


def start(home: Path, *words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "afina.py"), "--home", str(home), *map(str, words)],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def afina(home: Path, *words: object) -> subprocess.CompletedProcess[str]:
    process = start(home, *words)
    out, err = process.communicate(timeout=DEADLINE_S)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def write_config(folder: Path, config: Config) -> Path:
    path = folder / "run.yaml"
    path.write_text(config_io.to_yaml(config))
    return path


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
    configure: Any,  # noqa: F811
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A home with one run that `train --json` brought to its end, and what the command printed."""
    folder = tmp_path_factory.mktemp("trained")
    path = write_config(folder, configure("name=first", "train.max_steps=4"))
    return folder, afina(folder, "train", path, "train.seed=3", "--json")


def test_train_prints_every_event_and_the_result_last(
    trained: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    home, done = trained
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    (run,) = all_runs(home)
    assert events[-1]["kind"] == "result"
    assert sorted(event["seq"] for event in events) == [event["seq"] for event in run.events()]
    result = events[-1]
    assert (result["run"], result["directory"]) == (run.id, str(run.directory))
    assert (result["state"], result["steps"]) == ("done", 4)
    assert {"tokens", "train_s", "tokens_per_s", "train_loss", "eval_loss"} <= set(result)
    assert run.config.train.seed == 3


def test_runs_lists_it_for_programs_and_for_people(
    trained: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    home, _ = trained
    (row,) = json.loads(afina(home, "runs", "--json").stdout)
    assert list(row) == [
        "run", "directory", "state", "step", "steps", "train_loss", "eval_loss",
        "tokens_per_s", "started", "reason", "continues",
    ]  # fmt: skip
    assert (row["state"], row["step"], row["steps"]) == ("done", 4, 4)
    assert row["run"] in afina(home, "runs").stdout


def test_watch_of_a_run_that_is_over_ends_at_once(
    trained: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    home, _ = trained
    done = afina(home, "watch", "first")
    assert done.returncode == 0
    assert "first" in done.stdout and "4 steps" in done.stdout
    assert "eval loss" in done.stderr


def test_a_run_that_is_done_is_not_resumed(
    trained: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    home, _ = trained
    done = afina(home, "resume", "first")
    assert done.returncode == 2
    assert "is done at step 4" in done.stderr


def test_a_bad_configuration_is_refused_with_all_problems(home: Path) -> None:
    path = write_config(home, Config())
    done = afina(home, "train", path, "data.path=/nowhere.jsonl")
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 2
    assert "model.name_or_path" in done.stderr and "/nowhere.jsonl" in done.stderr
    unknown = afina(home, "train", path, "train.sed=1", "method.rnk=2")
    assert unknown.returncode == 2
    assert '"train.seed"' in unknown.stderr and '"method.rank"' in unknown.stderr
    assert all_runs(home) == []


def test_a_run_that_fails_exits_with_1_and_says_why(
    home: Path,
    configure: Any,  # noqa: F811
) -> None:
    path = write_config(home, configure("data.max_length=8"))
    done = afina(home, "train", path, "--json")
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["kind"] for line in lines][-3:] == ["failure", "state", "result"]
    assert lines[-1]["state"] == "failed"


def test_commands_about_a_run_that_is_not_there_are_one_sentence(home: Path) -> None:
    for command in ("watch", "stop", "checkpoint", "resume"):
        done = afina(home, command, "nothing")
        assert done.returncode == 2, command
        assert done.stderr.count("\n") == 1, command


def test_a_run_that_is_over_can_not_be_stopped_or_saved(home: Path) -> None:
    write_run(home, "old", "stopped", at=3, steps=9, reason="Stopped at step 3; resumable.")
    for command in ("stop", "checkpoint"):
        done = afina(home, command, "old")
        assert done.returncode == 2
        assert "is not at work: it is stopped" in done.stderr


def test_what_a_run_says_of_itself_is_content(home: Path) -> None:
    write_run(home, "odd", "failed", at=3, steps=9, reason="[red]\x1b[31mno[/red]")
    listed = afina(home, "runs").stdout
    assert "[red]" in listed and "\x1b" not in listed
    watched = afina(home, "watch", "odd")
    assert watched.returncode == 1
    assert "[red]" in watched.stdout and "\x1b" not in watched.stdout + watched.stderr


@pytest.fixture
def home_with_an_end(home: Path) -> Iterator[Path]:
    """A home whose runs are killed when the test is over."""
    yield home
    for run in all_runs(home):
        state = run.state()
        if state.state not in ENDED and state.pid:
            os.kill(state.pid, signal.SIGKILL)


def until_step(run: Run, step: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not any(e["kind"] == "step" and e["step"] >= step for e in run.events()):
        assert time.monotonic() < deadline and run.state().state not in ENDED, run.state()
        time.sleep(0.02)


def test_a_run_is_started_left_saved_stopped_and_resumed(
    home_with_an_end: Path,
    configure: Any,  # noqa: F811
) -> None:
    home = home_with_an_end
    path = write_config(home, configure("name=long", "train.max_steps=100000"))
    started = json.loads(afina(home, "train", path, "--detach", "--json").stdout)
    (run,) = all_runs(home)
    assert started == {
        "run": run.id,
        "directory": str(run.directory),
        "pid": started["pid"],
    }
    until_step(run, 1)

    watcher = start(home, "watch", "long")
    assert watcher.stderr is not None
    while "step 0" not in watcher.stderr.readline():  # the first evaluation
        pass
    watcher.send_signal(signal.SIGINT)
    _, said = watcher.communicate(timeout=DEADLINE_S)
    assert watcher.returncode == 0
    assert f"training goes on; `afina watch {run.id}`" in said
    assert run.state().state == "running"

    saved = json.loads(afina(home, "checkpoint", "long", "--json").stdout)
    assert saved["result"].startswith("saved step-")

    stopped = json.loads(afina(home, "stop", "long", "--json").stdout)
    assert (stopped["run"], stopped["state"]) == (run.id, "stopped")
    assert run.state().step == stopped["step"] > 1

    resumed = afina(home, "resume", "long", "--detach")
    assert resumed.returncode == 0
    until_step(run, stopped["step"] + 1)
