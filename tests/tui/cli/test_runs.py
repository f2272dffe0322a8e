"""The commands about runs, on runs of which only the files are there."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from core.config import config_io
from core.jobs import JobWorker
from core.runs.run import Run, create_run
from core.train.checkpoint import provenance
from tui.cli.main import app

Afina = Callable[..., Result]


@pytest.fixture
def afina(home: Path) -> Afina:
    def call(*words: object) -> Result:
        return CliRunner().invoke(app, ["--home", str(home), *map(str, words)])

    return call


@pytest.fixture
def run(home: Path, tmp_path: Path) -> Run:
    """A run that paused at step 3, on a base and rows that are there."""
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    (tmp_path / "rows.jsonl").write_text('{"text": "Hm"}\n')
    words = [f"model.name_or_path={base}", f"data.path={tmp_path / 'rows.jsonl'}", "name=hm"]
    made = create_run(home, config_io.parse("", [*words, "launch.device=cpu"]))
    folder = made.directory / "checkpoints" / "step-000003"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    provenance.keep(made.directory, provenance.look(made.config, base, "cpu", "float32"))
    worker = JobWorker(made.directory)
    worker.event("retry", why="oom", step=3, from_step=2, message="Out of memory.")
    worker.event("proof", loads=True, eval_loss=1.25, reported=1.25, difference=0.0)
    worker.event("eval", step=3)  # as damage leaves it: without its numbers
    worker.update("paused", step=3, steps=9, reason="Paused at step 3; resumable.")
    worker.close()
    return made


def answering(run: Run, state: str) -> threading.Thread:
    """A worker in this process that ends as it is asked to; it names the request in its reason."""
    worker = JobWorker(run.directory)
    worker.update("running")

    def work() -> None:
        while not (asked := worker.requests()):
            threading.Event().wait(0.01)
        worker.update(state, reason=json.dumps({"kind": asked[0]["kind"], **_now(asked[0])}))
        worker.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def _now(request: dict[str, Any]) -> dict[str, Any]:
    return {"now": request["now"]} if "now" in request else {}


@pytest.mark.parametrize(
    ("words", "state", "asked"),
    [
        (["stop"], "stopped", {"kind": "stop"}),
        (["stop", "--now"], "stopped", {"kind": "stop", "now": True}),
        (["pause"], "paused", {"kind": "pause"}),
    ],
)
def test_a_run_is_asked_to_end_and_its_end_is_said(
    run: Run, afina: Afina, words: list[str], state: str, asked: dict[str, Any]
) -> None:
    thread = answering(run, state)
    done = afina(words[0], run.id, *words[1:], "--json")
    thread.join()
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["state"] == state
    assert json.loads(run.state().reason) == asked


def test_a_run_that_fails_when_it_is_asked_to_pause_exits_with_1(run: Run, afina: Afina) -> None:
    thread = answering(run, "failed")
    assert afina("pause", run.id).exit_code == 1
    thread.join()


def test_what_has_changed_is_checked_without_a_start(run: Run, afina: Afina) -> None:
    done = afina("resume", run.id, "--check")
    assert (done.exit_code, done.stdout) == (0, "Nothing has changed.\n")
    before = provenance.read(run.directory)
    assert before is not None
    changed = msgspec.structs.replace(before, versions=before.versions | {"accelerate": "0.1"})
    provenance.keep(run.directory, changed)
    done = afina("resume", run.id, "--check")
    assert done.exit_code == 1
    assert "accelerate was 0.1 and is " in done.stdout
    Path(run.config.data.path).write_text("{}\n")
    done = afina("resume", run.id, "--check", "--json")
    assert done.exit_code == 2
    assert [row["meaning"] for row in json.loads(done.stdout)] == [True, False]
    assert run.state().state == "paused"


def test_a_run_that_would_become_another_one_is_resumed_only_by_force(
    run: Run, afina: Afina, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(run.config.data.path).write_text("{}\n")
    started: list[str] = []
    monkeypatch.setattr(Run, "start", lambda self, worker: started.append(self.id) or os.getpid())
    done = afina("resume", run.id, "--detach")
    assert done.exit_code != 0 and started == []
    assert "would not go on as it began" in str(done.exception)
    done = afina("resume", run.id, "--detach", "--force")
    assert (done.exit_code, started) == (0, [run.id])
    assert (run.directory / "resume.json").is_file()


def test_a_paused_run_is_watched_to_its_end_with_a_line_for_what_it_did(
    run: Run, afina: Afina
) -> None:
    done = afina("watch", run.id)
    assert done.exit_code == 0
    assert f"{run.id} paused: Paused at step 3; resumable." in done.stdout
    assert "step 3  begins again from step 2" in done.stderr
    assert "the result loads; its loss is 1.2500, 1.2500 was reported" in done.stderr
