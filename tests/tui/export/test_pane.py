"""The Export pane: what it plans, what it starts, and how it tells the outcome."""

from __future__ import annotations

import json
import os
import re
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot

from core.events import EventWriter
from core.jobs import Job, State, process_identity
from core.runs.run import Run
from exporters.job.export_spec import Wanted
from exporters.job.plan import Item, Plan, Problem
from exporters.job.request import all_exports, create_export, read_request
from exporters.results import Check, Origin, Result, enter, entry_of
from tests.tui.homes import write_run
from tests.tui.pilots import lines_of, text_of, until
from tui.app import AfinaApp
from tui.export import poller
from tui.export.pane import ExportPane
from tui.export.poller import FollowedJob
from tui.widgets.row_list import RowList

WIDE, NARROW = (160, 45), (80, 24)
MIB = 2**20


@pytest.fixture(autouse=True)
def planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan without a model: every type weighs 100 MiB. Plans are tested in exporters."""

    def plan_for(home: Path, target: object, wanted: list[Wanted], **options: object) -> Plan:
        folder = Path(target.run) / "exports"  # type: ignore[attr-defined]
        items = [
            Item(each.kind, each.type, str(folder / each.type), 100 * MIB, False, [])
            for each in wanted
        ]
        return Plan(
            target="travel-lora", folder=str(folder), free_bytes=211 * 1024 * MIB,
            memory_free_bytes=2 * 1024 * MIB,
            items=[item for item in items if item.kind != "merged"],
            problems=[Problem("It is no model.", "Name one.", "merged")] * any(
                item.kind == "merged" for item in items),
        )  # fmt: skip

    monkeypatch.setattr("exporters.job.plan.plan_for", plan_for)
    monkeypatch.setattr("exporters.job.request.plan_for", plan_for)
    monkeypatch.setattr(poller, "CALM_S", 0.2)


@pytest.fixture
def run(home: Path) -> Run:
    return write_run(home, "travel-lora", "done", at=40, result=True)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """The jobs that were started; their worker is this very process, which does nothing."""
    found: list[Job] = []

    def start(job: Job, worker: str) -> int:
        assert worker == "export"
        work(job, "running")
        found.append(job)
        return os.getpid()

    monkeypatch.setattr(Job, "start", start)
    return found


def work(job: Job, state: str, reason: str = "", **event: object) -> None:
    """Puts a job into a state, and appends an event."""
    pid = os.getpid()
    job.write_state(State(state, pid=pid, process=process_identity(pid), reason=reason))
    if event:
        writer = EventWriter(job.events_path)
        writer.write(str(event.pop("kind")), **event)
        writer.close()


def add_result(run: Run, type_name: str, verdict: str, *checks: Check, **fields: object) -> Path:
    """A file that was exported and judged."""
    folder = run.directory / "exports"
    path = folder / "gguf" / f"travel-lora-{type_name}.gguf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((b"GGUF" + struct.pack("<IQQ", 3, 0, 0)).ljust(4000, b"\0"))
    values = {
        "prompts_equal": True, "stops_equal": True, "agreement": 0.91, "kl": 0.0214,
        "tokens_per_s": 46.3,
    } | fields  # fmt: skip
    result = Result(str(path), "gguf", type_name, 4000, verdict, checks=list(checks), **values)  # type: ignore[arg-type]
    entry = entry_of(result, "0" * 64, Origin("travel-lora", "base"))
    enter(folder, msgspec.structs.replace(result, path=str(path.relative_to(folder))), entry)
    return path


@asynccontextmanager
async def opened(
    home: Path, size: tuple[int, int] = WIDE, **options: bool
) -> AsyncIterator[tuple[AfinaApp, Pilot, ExportPane]]:
    app = AfinaApp(home, **options)
    app.first_pane = "export"
    async with app.run_test(size=size, notifications=True) as pilot:
        pane = await until(pilot, lambda: app.pane, "the pane")
        assert isinstance(pane, ExportPane)
        await until(pilot, lambda: "Reading the model" not in text_of(app), "the plan")
        yield app, pilot, pane


def row_of(app: AfinaApp, type_name: str) -> list[str]:
    pattern = re.compile(rf"gguf {type_name}\s")
    line = next(line for line in lines_of(app) if pattern.search(line) and line[0] == "│")
    return line[line.index("gguf") :].strip("│ ▁▂▃▄▅▆▇█").split()  # a scroll bar may end it


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_every_type_is_listed_with_its_size_before_anything_starts(
    home: Path, run: Run, size: tuple[int, int]
) -> None:
    async with opened(home, size) as (app, _, _pane):
        assert "export travel-lora" in text_of(app)
        for name in ("q4_k_m", "q4_k_s", "q4_0"):  # around the cursor
            assert row_of(app, name)[:4] == ["gguf", name, "~100.0", "MiB"]
        assert "gguf q4_k_m · needs 100.0 MiB of 211.0 GiB free" in text_of(app)


async def test_marked_types_are_exported_by_a_job(home: Path, run: Run, started: list[Job]) -> None:
    async with opened(home) as (app, pilot, _):
        await pilot.press("space", *"kkkk", "space")
        await until(pilot, lambda: "2 marked · needs" in text_of(app), "the marks")
        await pilot.press("x")
        await until(pilot, lambda: started, "the job")
        assert read_request(started[0]).to == ["gguf:q6_k", "gguf:q4_k_m"]
        assert read_request(started[0]).target == run.id
        await until(pilot, lambda: row_of(app, "q4_k_m")[-1] == "waiting", "what waits")


async def test_progress_is_shown_by_phase_and_tensor(
    home: Path, run: Run, started: list[Job]
) -> None:
    async with opened(home) as (app, pilot, _):
        await pilot.press("x")
        await until(pilot, lambda: started, "the job")
        work(started[0], "running", kind="phase", name="writing", detail="gguf q4_k_m")
        work(
            started[0], "running", kind="progress", label="q4_k_m", done=120, total=291,
            unit="tensors", detail="blk.3.attn_q.weight",
        )  # fmt: skip
        await until(pilot, lambda: "120/291 tensors" in text_of(app), "the bar")
        assert "● writing gguf q4_k_m  blk.3.attn_q.weight   c cancel" in text_of(app)
        assert row_of(app, "q4_k_m")[-2:] == ["at", "work"]
        await pilot.press("c")
        control = started[0].directory / "control.jsonl"
        await until(pilot, control.exists, "the request")
        assert json.loads(control.read_text())["kind"] == "cancel"


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_results_stand_in_the_parity_table_with_their_verdict(
    home: Path, run: Run, size: tuple[int, int]
) -> None:
    add_result(run, "q4_k_m", "pass")
    add_result(
        run, "q4_0", "fail", Check("stops", "fail", "It stops at [x]\x1b[1m.", "Export again."),
        stops_equal=False, agreement=0.38, kl=0.412,
    )  # fmt: skip
    async with opened(home, size) as (app, pilot, _):
        await until(pilot, lambda: "pass" in text_of(app), "the results")
        greedy = [["91%"], ["38%"]] if size == WIDE else [[], []]
        assert row_of(app, "q4_k_m")[2:] == [
            "3.9", "KiB", "=", "=", *greedy[0], "0.021", "46", "pass"]  # fmt: skip
        assert row_of(app, "q4_0")[2:] == [
            "3.9", "KiB", "=", "≠", *greedy[1], "0.412", "46", "fail"]  # fmt: skip
        text = text_of(app)
        assert text.index("▲ gguf q4_0") < text.index("It stops at [x]␛[1m.")
        assert "Export again." in text
        assert "2 exported:  1 pass  1 fail" in text


async def test_a_finished_job_tells_its_outcome_and_shows_the_result(
    home: Path, run: Run, started: list[Job]
) -> None:
    async with opened(home) as (app, pilot, _):
        await pilot.press("x")
        await until(pilot, lambda: started, "the job")
        add_result(run, "q4_k_m", "pass")
        work(started[0], "done", "1 exported and checked.")
        await until(pilot, lambda: "1 exported and checked." in text_of(app), "the outcome")
        await until(pilot, lambda: row_of(app, "q4_k_m")[-1] == "pass", "the result")


async def test_a_failed_job_says_why_and_what_to_do(
    home: Path, run: Run, started: list[Job]
) -> None:
    async with opened(home) as (app, pilot, _):
        await pilot.press("x")
        await until(pilot, lambda: started, "the job")
        work(
            started[0], "failed", "The disk is full.", kind="failure",
            message="The disk is full.", hint="Free some.",
        )  # fmt: skip
        await until(pilot, lambda: "▲ failed: The disk is full. Free some." in text_of(app), "why")


async def test_a_job_that_was_started_before_is_found_again(home: Path, run: Run) -> None:
    job = create_export(home, run.id, ["gguf:q4_k_m"])
    work(job, "running", kind="phase", name="writing", detail="gguf f16")
    async with opened(home) as (app, pilot, _):
        await until(pilot, lambda: "● writing gguf f16" in text_of(app), "the job")


async def test_enter_on_a_result_opens_it_beside_the_tuned_model(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = add_result(run, "q4_k_m", "pass")
    async with opened(home) as (app, pilot, _):
        await until(pilot, lambda: "pass" in text_of(app), "the result")
        await pilot.press("enter")
        await until(pilot, lambda: app.pane and app.pane.id == "chat", "the chat")
        await until(pilot, lambda: len(app.pane.query("ChatColumn")) == 2, "two columns")
        targets = [column.target for column in app.pane.query("ChatColumn")]  # type: ignore[attr-defined]
        assert [(target.word, target.kind) for target in targets] == [
            (run.id, "hf"),
            (str(path), "gguf"),
        ]


async def test_a_file_that_is_not_there_can_be_neither_opened_nor_deleted(
    home: Path, run: Run
) -> None:
    async with opened(home) as (app, pilot, _):
        await pilot.press("enter")
        await until(pilot, lambda: "not there yet; x makes it." in text_of(app), "the reason")
        await pilot.press("d")
        await until(pilot, lambda: "This export is not there yet." in text_of(app), "the reason")


async def test_deleting_a_file_asks_first(home: Path, run: Run) -> None:
    path = add_result(run, "q4_k_m", "pass")
    async with opened(home) as (app, pilot, _):
        await until(pilot, lambda: "pass" in text_of(app), "the result")
        await pilot.press("d")
        await until(pilot, lambda: "Delete gguf q4_k_m?" in text_of(app), "the question")
        await pilot.press("y")
        await until(pilot, lambda: not path.exists(), "the deletion")
        await until(pilot, lambda: row_of(app, "q4_k_m")[2] == "~100.0", "the estimate again")


async def test_readonly_exports_nothing(home: Path, run: Run) -> None:
    async with opened(home, readonly=True) as (app, pilot, _):
        await pilot.press("x")
        await until(pilot, lambda: "--readonly" in text_of(app), "the reason")
        assert all_exports(home) == []


async def test_a_home_without_a_model_says_what_to_do(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("core.samples.TINY_MODEL", tmp_path / "nothing")
    async with opened(home, NARROW) as (app, _, _pane):
        assert "There is nothing to export yet" in text_of(app)


async def test_a_run_that_is_gone_says_so(home: Path, run: Run) -> None:
    async with opened(home) as (app, pilot, pane):
        pane.open_subject("nowhere")
        await until(pilot, lambda: 'There is no run "nowhere"' in text_of(app), "the reason")


async def test_what_can_not_be_made_of_a_model_says_why(home: Path, run: Run) -> None:
    async with opened(home, NARROW) as (app, pilot, pane):
        await pilot.press("G")
        await until(pilot, lambda: "It is no model." in text_of(app), "the reason")
        assert "refused" in text_of(app)
        assert pane.why_not("export") == pane.why_not("mark") == "It is no model. Name one."


async def test_kinds_of_export_are_marked_side_by_side(
    home: Path, run: Run, started: list[Job]
) -> None:
    async with opened(home) as (app, pilot, pane):
        await pilot.press("space")
        table = pane.query_one("#export-table", RowList)
        table.cursor = 1 + pane.rows.view.offered.index(Wanted("onnx", "int4"))
        await pilot.press("space", "x")
        await until(pilot, lambda: started, "the job")
        assert read_request(started[0]).to == ["gguf:q4_k_m", "onnx:int4"]
        result = {"kind": "gguf", "type": "q4_k_m"}
        work(started[0], "running", kind="parity", result=result)
        await until(pilot, lambda: row_of(app, "q4_k_m")[-1] != "waiting", "what is checked")
        assert pane.job is not None and pane.job.pending == ("onnx:int4",)


def test_a_job_whose_process_is_gone_is_interrupted(home: Path, run: Run) -> None:
    job = create_export(home, run.id, ["gguf:f16"])
    job.write_state(State("running", pid=os.getpid(), process="another", updated=time.time()))
    assert FollowedJob(job).look().state == "interrupted"
