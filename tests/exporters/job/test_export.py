"""An export job with fake exporters: what it leaves however it ends, and what it tells."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.disk import told
from core.errors import AfinaError
from core.jobs import ENDED, Job, JobWorker
from core.paths import ROOT
from exporters import cancel
from exporters.cancel import Cancelled
from exporters.files import mend
from exporters.job import export as export_module
from exporters.job.export import Export
from exporters.job.request import create_export, read_request
from exporters.results import failed_path, results
from tests.exporters.job import fake
from tests.exporters.tokenizers_of import train, write_model

LIMIT_S = 60.0
COMPARE = Export.compare  # not the fake


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fake") / "little"
    write_model(folder, train("gpt-2"))
    return folder


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    fake.install(monkeypatch.setattr)
    monkeypatch.setattr(cancel, "GRACE_S", LIMIT_S)  # nothing in here ends this very process
    monkeypatch.setattr(fake.Fake, "version", "1")
    monkeypatch.setattr(fake.Fake, "writing", lambda path: None)


def run(home: Path, model: Path, *to: str) -> Export:
    """A whole job in this process; raises what ends it."""
    job = create_export(home, str(model), list(to))
    export = Export(job, JobWorker(job.directory))
    try:
        try:
            export.go()
        finally:
            export.requests.close()
        export.finish()
    finally:
        if export.worker.current.state != "done":
            export.worker.update("failed")
        export.worker.close()
    return export


def result_of(export: Export) -> dict[str, Any]:
    return next(event for event in export.job.events() if event["kind"] == "result")


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file of an exports' folder but the lock."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "worker.lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_files_and_folders_are_named_when_they_are_checked(home: Path, model: Path) -> None:
    export = run(home, model, "merged:bf16", "gguf:q8_0,f16")
    rows = result_of(export)["parity"]
    assert [(row["kind"], row["type"], row["verdict"]) for row in rows] == [
        ("merged", "bf16", "pass"),
        ("gguf", "q8_0", "warn"),
        ("gguf", "f16", "pass"),
    ]
    assert [row["bytes"] for row in rows] == [fake.SIZE + 2, fake.SIZE, fake.SIZE]
    assert set(snapshot(export.folder)) == {
        "README.md",
        "gguf/little-f16.Modelfile",
        "gguf/little-f16.gguf",
        "gguf/little-q8_0.Modelfile",
        "gguf/little-q8_0.gguf",
        "manifest.json",
        "merged/little-bf16/config.json",
        "merged/little-bf16/weights",
        "parity.json",
    }
    assert len(results(export.folder)) == 3
    assert export.job.state().reason == "3 exported and checked."


def test_phases_and_progress_name_what_is_made(home: Path, model: Path) -> None:
    events = run(home, model, "gguf:f16,q8_0", "merged").job.events()
    phases = [f"{e['name']} {e['detail']}".strip() for e in events if e["kind"] == "phase"]
    assert phases == [
        "planning",
        "asking the tuned model",
        "writing gguf f16, q8_0",
        "checking gguf f16",
        "checking gguf q8_0",
        "writing merged bf16",
        "checking merged bf16",
    ]
    told = [(e["label"], e["detail"], e["unit"]) for e in events if e["kind"] == "progress"]
    assert ("writing gguf", "f16", "bytes") in told
    assert ("hashing merged bf16", "merged bf16", "bytes") in told
    found = [event["message"] for event in events if event["kind"] == "finding"]
    assert found[0] == "gguf: wrote f16, q8_0"  # what was found out while it was written


def test_one_that_can_not_be_written_does_not_lose_the_others(home: Path, model: Path) -> None:
    export = run(home, model, "gguf:f16,bad,q8_0", "merged")
    result = result_of(export)
    assert [file["type"] for file in result["files"]] == ["f16", "q8_0", "bf16"]
    assert result["failures"] == [
        {
            "kind": "gguf",
            "type": "bad",
            "message": "It can't be written.",
            "hint": "Choose another.",
        }
    ]
    state = export.job.state()
    assert (state.state, state.reason) == (
        "done",
        "3 exported and checked. Not exported: gguf:bad.",
    )
    told = [event["message"] for event in export.job.events() if event["kind"] == "failure"]
    assert told == ["gguf:bad: It can't be written."]
    assert not any("bad" in name for name in snapshot(export.folder))


def test_a_job_whose_every_export_fails_has_failed(home: Path, model: Path) -> None:
    with pytest.raises(AfinaError, match="gguf:bad: It can't be written. Choose another."):
        run(home, model, "gguf:bad")


def test_a_kind_that_is_impossible_is_refused_before_anything_starts(
    home: Path, model: Path
) -> None:
    with pytest.raises(AfinaError, match="This model can't become ONNX. Choose GGUF."):
        create_export(home, str(model), ["gguf:f16", "onnx:int4"])
    assert not (home / "exports").exists() and not (home / "jobs").exists()


def test_every_reason_names_the_export_it_is_about(home: Path, model: Path) -> None:
    with pytest.raises(AfinaError) as caught:
        create_export(home, str(model), ["gguf:f16", "onnx:int4", "gguf:never"])
    assert caught.value.message == "onnx: This model can't become ONNX. gguf:never: It can't be."
    assert caught.value.hint == "Choose GGUF. Leave it out."


def test_an_export_that_fails_its_check_stays_beside_the_earlier_one(
    home: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = run(home, model, "gguf:f16,wrong")
    first = Path(result_of(export)["files"][0]["path"])
    path = Path(result_of(export)["files"][1]["path"])
    assert path == failed_path(path) == export.folder / "gguf" / "little-wrong.failed.gguf"
    assert "not what was trained: gguf:wrong" in export.job.state().reason
    before = first.read_bytes()
    monkeypatch.setattr(fake.Fake, "version", "2")
    run(home, model, "gguf:wrong")
    assert first.read_bytes() == before and len(results(export.folder)) == 2


def test_a_full_disk_leaves_the_earlier_exports_as_they_were(
    home: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(run(home, model, "gguf:f16", "merged").folder)

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(fake.Fake, "version", "2")
    monkeypatch.setattr(fake.Fake, "writing", full)
    for to in ("gguf:f16", "merged"):
        with pytest.raises(OSError, match="No space left"):
            run(home, model, to)
        assert snapshot(home / "exports" / "little") == before


def test_a_disk_that_is_full_while_an_export_is_asked_is_no_verdict(
    home: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(run(home, model, "gguf:f16").folder)

    def measure(*rest: Any) -> Any:
        raise AfinaError(*told(OSError(errno.ENOSPC, "No space left on device")))

    monkeypatch.setattr(export_module, "measure", measure)
    monkeypatch.setattr(Export, "compare", COMPARE)
    monkeypatch.setattr(Export, "reference", None, raising=False)
    with pytest.raises(AfinaError, match="The disk takes no more: No space left on device."):
        run(home, model, "gguf:f16")
    assert snapshot(home / "exports" / "little") == before


def test_memory_that_has_gone_since_the_plan_is_refused_when_the_job_begins(
    home: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exporters.job import plan

    job = create_export(home, str(model), "gguf:f16")
    monkeypatch.setattr(plan, "free_memory", lambda: 10 * 2**20)
    export = Export(job, JobWorker(job.directory))
    try:
        with pytest.raises(AfinaError, match="of memory, and 10.0 MiB are free"):
            export.go()
    finally:
        export.requests.close()
        export.worker.close()
    assert not (home / "exports").exists()


def test_a_cancel_between_two_exports_keeps_the_first(
    home: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def cancel_second(path: Path) -> None:
        asked.append(path)
        if len(asked) == 2:
            job = next((home / "jobs").iterdir())
            Job(job).request("cancel")
            deadline = time.monotonic() + LIMIT_S
            while time.monotonic() < deadline:  # the requests' thread wakes several times a second
                held[0].requests.check()

    held: list[Export] = []
    begin = Export.go
    monkeypatch.setattr(Export, "go", lambda export: (held.append(export), begin(export)))
    monkeypatch.setattr(fake.Fake, "writing", cancel_second)
    with pytest.raises(Cancelled):
        run(home, model, "gguf:f16", "merged")
    assert set(snapshot(held[0].folder)) == {
        "README.md",
        "gguf/little-f16.Modelfile",
        "gguf/little-f16.gguf",
        "manifest.json",
        "parity.json",
    }


def start(job: Job, stage: str) -> subprocess.Popen[bytes]:
    """A job with fakes as a process, which hangs at a stage."""
    with open(job.log_path, "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.exporters.job.fake", str(job.directory), stage],
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )


def wait_for(job: Job, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, (job.state(), job.log_path.read_text())
        time.sleep(0.01)


@pytest.mark.parametrize("stage", fake.STAGES)
def test_a_cancel_ends_a_job_that_never_asks_for_it(home: Path, model: Path, stage: str) -> None:
    before = snapshot(run(home, model, "gguf:f16", "merged").folder)
    job = create_export(home, str(model), ["merged", "gguf:f16"])
    process = start(job, stage)
    wait_for(job, lambda: (job.directory / "child").exists())
    child = psutil.Process(int((job.directory / "child").read_text()))
    asked = time.monotonic()
    number = job.request("cancel")
    wait_for(job, lambda: job.state().state in ENDED)
    assert time.monotonic() - asked < 3.0  # a second, and room for a busy machine
    assert process.wait(LIMIT_S) == 0
    state = job.state()
    assert (state.state, state.reason) == (
        "stopped",
        "Cancelled. Earlier exports are as they were.",
    )
    answers = [e for e in job.events() if e["kind"] == "control"]
    assert [(e["request"], e["result"]) for e in answers] == [(number, "cancelling")]
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert snapshot(home / "exports" / "little") == before


@pytest.mark.parametrize("stage", ["writing", "checking", "hashing"])
def test_a_killed_job_leaves_the_earlier_exports_as_they_were(
    home: Path, model: Path, stage: str
) -> None:
    folder = run(home, model, "gguf:f16", "merged").folder
    before = snapshot(folder)
    job = create_export(home, str(model), ["merged", "gguf:f16"])
    process = start(job, stage)
    wait_for(job, lambda: (job.directory / "child").exists())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    os.kill(int((job.directory / "child").read_text()), signal.SIGKILL)
    assert job.state().state == "interrupted"
    left = {name for name in snapshot(folder) if ".part" in name}
    assert left and {k: v for k, v in snapshot(folder).items() if k not in left} == before
    assert len(results(folder)) == 2
    mend(folder)  # as the next export does
    assert snapshot(folder) == before


def test_a_job_remembers_its_options_from_anywhere(
    home: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exporters.contract import Options

    (tmp_path / "text.txt").write_text("Hello.")
    monkeypatch.chdir(tmp_path)
    job = create_export(home, str(model), "gguf:f16", options=Options("text.txt", "llama.cpp"))
    options = read_request(job).options
    assert options == Options(str(tmp_path / "text.txt"), str(tmp_path / "llama.cpp"))
    assert json.loads((job.directory / "request.json").read_text())["options"]["imatrix"]
