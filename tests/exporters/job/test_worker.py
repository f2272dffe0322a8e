"""The export job as a process: what it leaves when it ends well, is cancelled or is killed."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.jobs import ENDED, Job
from exporters.job.request import create_export
from exporters.results import MANIFEST, PARITY, read_manifest, results
from tests.exporters import models

LIMIT_S = 120.0
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


def wait_for(job: Job, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, (job.state(), job.log_path.read_text())
        time.sleep(0.02)


def wait_end(job: Job) -> None:
    wait_for(job, lambda: job.state().state in ENDED)


def folder_of(job: Job) -> Path:
    return Path(json.loads((job.directory / "request.json").read_text())["out"])


@pytest.fixture(scope="module")
def done(base: Path, adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """An export to two types that has ended."""
    home = tmp_path_factory.mktemp("home")
    to = ["gguf:q4_k_m", "gguf:f16"]
    job = create_export(home, str(base), to, adapter=str(adapter))
    job.start("export", ONE_THREAD | {"AFINA_HOME": str(home)})
    wait_end(job)
    return job


def test_an_export_ends_with_checked_files_in_the_order_they_were_asked_for(done: Job) -> None:
    state = done.state()
    assert (state.state, state.step, state.steps) == ("done", 2, 2), state.reason
    event = next(event for event in done.events() if event["kind"] == "result")
    assert [file["type"] for file in event["files"]] == ["q4_k_m", "f16"]
    assert [row["verdict"] for row in event["parity"]] == ["pass"] * 2
    for file, row in zip(event["files"], event["parity"], strict=True):
        assert Path(file["path"]).stat().st_size == file["bytes"] == row["bytes"]
        assert row["prompts_equal"] and row["stops_equal"] and row["tokens_per_s"] > 0
    assert event["parity"][1]["max_delta_log_p"] < 0.03


def test_only_files_of_the_manifest_count_and_nothing_else_is_left(done: Job) -> None:
    folder = folder_of(done)
    names = sorted(path.name for path in (folder / "gguf").glob("*.gguf*"))
    assert names == ["base-adapter-f16.gguf", "base-adapter-q4_k_m.gguf"]
    assert (folder / "gguf" / "base-adapter-q4_k_m.Modelfile").is_file()
    assert "base-adapter-f16.gguf" in (folder / "README.md").read_text()
    manifest = read_manifest(folder)
    entry = manifest.files["gguf/base-adapter-f16.gguf"]
    data = (folder / "gguf" / "base-adapter-f16.gguf").read_bytes()
    assert entry.sha256 == hashlib.sha256(data).hexdigest()
    assert entry.origin.adapter is not None
    weights = Path(entry.origin.adapter) / "adapter_model.safetensors"
    assert entry.origin.adapter_sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert {result.type for result in results(folder)} == {"f16", "q4_k_m"}
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["gguf"]


def test_events_tell_the_phases_and_the_progress_by_tensor_and_byte(done: Job) -> None:
    events = done.events()
    phases = [event["name"] for event in events if event["kind"] == "phase"]
    assert phases[:4] == ["planning", "asking the tuned model", "writing", "checking"]
    units = {event["unit"] for event in events if event["kind"] == "progress"}
    assert units == {"bytes", "questions"}
    last = [e for e in events if e["kind"] == "progress" and e["label"] == "writing gguf"][-1]
    assert last["done"] == last["total"] > 0
    assert len([event for event in events if event["kind"] == "parity"]) == 2


def test_a_file_that_was_changed_since_is_no_result(done: Job, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(folder_of(done), tmp_path / "exports")
    with open(folder / "gguf" / "base-adapter-q4_k_m.gguf", "ab") as file:
        file.write(b"x")
    assert {result.type for result in results(folder)} == {"f16"}
    (folder / MANIFEST).unlink()
    assert results(folder) == []


def test_a_cancel_ends_it_within_a_second_and_leaves_earlier_exports(
    done: Job, base: Path, adapter: Path
) -> None:
    before = snapshot(folder_of(done))
    job = start_again(done, base, adapter)
    wait_for(job, lambda: seen(job, "asking the tuned model"))
    asked = time.monotonic()
    number = job.request("cancel")
    wait_end(job)
    assert time.monotonic() - asked < 5.0  # a second, and room for a busy machine
    state = job.state()
    assert state.state == "stopped" and "Cancelled" in state.reason
    answers = [event for event in job.events() if event["kind"] == "control"]
    assert [(answer["request"], answer["result"]) for answer in answers] == [(number, "cancelling")]
    assert snapshot(folder_of(done)) == before


def test_an_adapter_that_was_never_trained_fails_with_a_sentence(
    base: Path, home: Path, tmp_path: Path
) -> None:
    models.make_adapter(tmp_path / "zero", base, scale=0.0)
    job = create_export(home, str(base), "gguf:f16", adapter=str(tmp_path / "zero"))
    job.start("export", ONE_THREAD)
    wait_end(job)
    state = job.state()
    assert state.state == "failed" and "changes nothing" in state.reason
    failure = next(event for event in job.events() if event["kind"] == "failure")
    assert failure["hint"] and not list((home / "exports").rglob("*.gguf"))


def start_again(done: Job, base: Path, adapter: Path) -> Job:
    home = done.directory.parent.parent
    job = create_export(home, str(base), ["gguf:q8_0"], adapter=str(adapter))
    job.start("export", ONE_THREAD | {"AFINA_HOME": str(home)})
    return job


def seen(job: Job, phase: str) -> bool:
    return any(e["kind"] == "phase" and e["name"] == phase for e in job.events())


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file of an exports' folder but the lock."""
    kept = [*(folder / "gguf").iterdir(), folder / PARITY, folder / MANIFEST]
    return {path.name: path.read_bytes() for path in kept}
