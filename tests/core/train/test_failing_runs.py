"""Runs as processes: how they fail, in a sentence and with nothing lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from core.runs.run import Run
from core.train.checkpoint import manifest
from tests.core.train import faults
from tests.core.train.conftest import (
    Configure,
    NewWorker,
    Worker,
    chat_rows,
    of_kind,
    steps,
    write_rows,
)


@pytest.fixture
def poisoned(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model with one token whose embedding is not a number."""
    from safetensors.torch import save_file
    from tokenizers import Tokenizer

    folder = tmp_path / "poisoned"
    shutil.copytree(tiny_model, folder)
    tensors = load_file(folder / "model.safetensors")
    token = Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id("~")
    tensors["model.embed_tokens.weight"][token] = float("nan")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_a_loss_that_is_no_number_stops_the_run_and_is_never_saved(
    poisoned: Path, new_worker: NewWorker, configure: Configure, tmp_path: Path
) -> None:
    rows = chat_rows(24)
    rows[5]["messages"][0]["content"] += " ~"
    worker = new_worker(
        configure(
            f"model.name_or_path={poisoned}",
            f"data.path={write_rows(tmp_path / 'rows.jsonl', rows)}",
            "data.eval_fraction=0",
            "checkpoint.every_steps=1",
            "checkpoint.keep=50",
            "train.num_train_epochs=1",
            "train.per_device_train_batch_size=2",
        )
    ).start()
    assert worker.wait() == 1
    state, last = worker.run.state(), max(steps(worker.run))
    assert last > 1, "the poisoned row came first: choose another seed"
    assert state.state == "failed"
    assert f"The loss is nan at step {last}." in state.reason
    assert f"The last good checkpoint is step {last - 1}" in state.reason
    assert steps(worker.run)[last]["loss"] == "nan"
    kept = [manifest.step_of(folder) for folder in worker.run.checkpoints()]
    assert kept == list(range(1, last))
    assert worker.run.result is None
    assert of_kind(worker.run, "failure")[0]["message"] == f"The loss is nan at step {last}."


def test_rows_that_teach_nothing_end_the_run_in_a_sentence(
    new_worker: NewWorker, configure: Configure
) -> None:
    worker = new_worker(configure("data.max_length=8")).start()
    assert worker.wait() == 1
    (failure,) = of_kind(worker.run, "failure")
    assert failure["message"].startswith("No row of ")
    assert "supervised" in failure["message"]
    assert worker.run.state().reason == f"{failure['message']} {failure['hint']}"
    assert "Traceback" not in worker.log()


def test_a_bug_ends_in_a_traceback_in_the_log(new_worker: NewWorker, configure: Configure) -> None:
    worker = new_worker(configure())
    (worker.run.directory / "samples.jsonl").mkdir()
    worker.run = Run(worker.run.directory)
    config = worker.run.directory / "config.yaml"
    config.write_text(config.read_text().replace("watch_prompts: []", "watch_prompts: [Hm]"))
    assert worker.start().wait() == 1
    state = worker.run.state()
    assert state.state == "failed"
    assert state.reason.startswith("IsADirectoryError: ")
    assert "log.txt" in state.reason
    assert "Traceback" in worker.log()


def test_a_second_worker_on_the_same_run_is_refused(
    new_worker: NewWorker, configure: Configure
) -> None:
    worker = new_worker(configure("train.max_steps=5000")).start()
    worker.until_step(1)
    second = Worker(worker.run).start_unannounced()
    assert second.wait() == 1
    assert "Another process works on" in worker.log()
    assert worker.run.state().state == "running"
    assert worker.process is not None and worker.process.pid == worker.run.state().pid
    worker.kill()


@pytest.mark.parametrize("how", ["deleted", "cut"])
def test_streamed_rows_that_go_under_a_run_end_it_in_a_sentence(
    how: str, new_worker: NewWorker, configure: Configure, tmp_path: Path
) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", chat_rows(6000))
    words = ("data.streaming=true", "train.max_steps=100000", "train.num_train_epochs=1")
    worker = new_worker(configure(f"data.path={rows}", *words, "eval.every_steps=5000"))
    worker.start(faults.read_few_rows_at_once).until_step(1)
    if how == "deleted":
        rows.unlink()
    else:
        with open(rows, "r+b") as file:
            file.truncate(1000)
    assert worker.wait(60) == 1, worker.log()
    state = worker.run.state()
    assert state.state == "failed"
    assert str(rows) in state.reason, state.reason
    assert "Traceback" not in worker.log()
