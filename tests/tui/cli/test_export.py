"""`afina export`: its words, its plan, its tables, its JSON and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from core.errors import AfinaError
from core.events import EventWriter
from core.jobs import Job, State
from exporters.contract import Options
from exporters.job.plan import Plan
from exporters.results import Check, Result, result_fields
from tests.exporters.tokenizers_of import train, write_model
from tui.cli.export import ExportCommand, export

app = typer.Typer(pretty_exceptions_enable=False)
app.command(cls=ExportCommand)(export)


def run(*words: str, width: int = 80) -> Any:
    environment = {"COLUMNS": str(width)}
    return CliRunner().invoke(app, list(words), catch_exceptions=False, env=environment)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "little"
    write_model(folder, train("gpt-2"))
    return folder


@pytest.fixture
def created(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Any, ...]]:
    """What jobs were created with; each of them ends at once with the rows in `outcome`."""
    found: list[tuple[Any, ...]] = []

    class Ended(Job):
        def start(self, worker: str, environment: dict[str, str] | None = None) -> int:
            rows = ROWS[len(found) > 1 and self.directory.name != "job-1" :]
            writer = EventWriter(self.events_path)
            fields = result_fields(rows) | {"failures": FAILURES, "folder": "/exports"}
            writer.write("result", **fields)
            writer.close()
            self.write_state(State("done"))
            return 1

    def create(home: Path, target: str, to: list[str], *rest: Any) -> Job:
        found.append((target, to, *rest))
        folder = tmp_path / f"job-{len(found)}"
        folder.mkdir()
        return Ended(folder)

    monkeypatch.setattr("exporters.job.request.create_export", create)
    return found


ROWS: list[Result] = []
FAILURES: list[dict[str, str]] = []


@pytest.fixture(autouse=True)
def outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the job ends with."""
    figures = {
        "prompts_equal": True, "stops_equal": True, "agreement": 0.91, "kl": 0.5, "row_kl": 0.0214,
        "perplexity": 12.345, "tokens_per_s": 46.3, "threads": 2,
    }  # fmt: skip
    rows = [
        Result("/exports/gguf/m-q4_k_m.gguf", "gguf", "q4_k_m", 3 * 2**20, "pass", **figures),  # type: ignore[arg-type]
        Result("/exports/onnx/m-int4", "onnx", "int4", 4 * 2**20, "warn",
               checks=[Check("kl", "warn", "It stam\x1b[1mmers.", "Listen.")]),
    ]  # fmt: skip
    monkeypatch.setitem(globals(), "ROWS", rows)
    monkeypatch.setitem(globals(), "FAILURES", [])


def test_the_table_has_a_row_for_each_kind_and_says_what_warns(created: list[Any]) -> None:
    done = run("travel", "--to", "gguf:q4_k_m", "--to", "onnx:int4")
    assert done.exit_code == 0
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    lines = done.stdout.splitlines()
    assert lines[0].split() == [
        "export", "size", "prompts", "stops", "greedy", "KL", "ppl", "tokens/s", "verdict",
    ]  # fmt: skip
    assert lines[1].split() == [
        "gguf:q4_k_m", "3.0", "MiB", "=", "=", "91%", "0.0214", "12.35", "46", "pass",
    ]  # fmt: skip
    assert lines[2].split() == ["onnx:int4", "4.0", "MiB", *["-"] * 6, "warn"]
    assert "in /exports" in lines and "  onnx/m-int4" in lines
    assert "onnx:int4: It stam␛[1mmers. Listen." in lines


def test_perplexity_goes_where_there_is_no_room(created: list[Any]) -> None:
    assert "ppl" not in run("travel", "--to", "gguf:q4_k_m", width=66).stdout.splitlines()[0]


def test_json_has_files_parity_and_what_failed(
    created: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = {"kind": "merged", "type": "bf16", "message": "It is full.", "hint": "Wait."}
    monkeypatch.setitem(globals(), "FAILURES", [failed])
    done = run("travel", "--to", "gguf:q4_k_m", "--json")
    fields = json.loads(done.stdout)
    assert set(fields) == {"files", "parity", "failures"}
    assert fields["files"][0] == {
        "path": "/exports/gguf/m-q4_k_m.gguf", "kind": "gguf", "type": "q4_k_m", "bytes": 3 * 2**20,
    }  # fmt: skip
    assert {"path", "verdict", "kl", "perplexity", "checks"} <= set(fields["parity"][0])
    assert fields["failures"] == [failed]
    assert done.exit_code == 1
    told = run("travel", "--to", "gguf:q4_k_m").stdout
    assert "merged:bf16 was not exported: It is full. Wait." in told


def test_an_export_that_is_not_what_was_trained_ends_it_with_1(created: list[Any]) -> None:
    ROWS[0] = msgspec.structs.replace(
        ROWS[0], verdict="fail", checks=[Check("x", "fail", "It babbles.", "Export again.")]
    )
    done = run("travel", "--to", "gguf:q4_k_m")
    assert done.exit_code == 1
    assert "gguf:q4_k_m: It babbles. Export again." in done.stdout


def test_each_adapter_is_an_export_of_its_own(
    created: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[tuple[Any, int]] = []

    def plan(home: Path, target: str, to: list[str], adapter: str, options: Options) -> Plan:
        planned.append((adapter, len(created)))
        return Plan(target, str(home))

    monkeypatch.setattr("exporters.job.plan.make_plan", plan)
    done = run("base", "--to", "gguf:lora", "--adapter", "one", "--adapter", "two", "--json")
    assert [(target, adapter) for target, _, adapter, _ in created] == [
        ("base", "one"),
        ("base", "two"),
    ]
    assert planned == [("one", 0), ("two", 0)]  # before the first begins
    assert [file["type"] for file in json.loads(done.stdout)["files"]] == ["q4_k_m", "int4", "int4"]
    with pytest.raises(AfinaError, match="Name one adapter"):
        run("base", "--to", "gguf:lora", "--adapter", "one", "--adapter", "two", "--detach")


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], Options()),
        (["--imatrix"], Options(imatrix="")),
        (["--imatrix", "--json"], Options(imatrix="")),
        (["--imatrix", "a.txt"], Options(imatrix="a.txt")),
        (["--imatrix=a.txt", "--llama-cpp", "there"], Options("a.txt", "there")),
    ],
)
def test_the_importance_matrix_is_asked_for_with_a_text_or_without(
    created: list[Any], words: list[str], options: Options
) -> None:
    run("travel", "--to", "gguf:q4_k_m", *words)
    assert created[0][3] == options


def test_the_plan_names_every_export_and_what_it_needs(model: Path, home: Path) -> None:
    plan = run(str(model), "--to", "gguf:q4_k_m", "--to", "merged", "--plan")
    assert plan.exit_code == 0
    lines = [line.rstrip() for line in plan.stdout.splitlines()]
    assert all(len(line) <= 80 for line in lines if "rows" not in line and str(home) not in line)
    assert lines[0].split() == ["export", "size", "memory", "to"]
    assert lines[1].startswith("gguf:q4_k_m") and lines[1].endswith("gguf/little-q4_k_m.gguf")
    assert lines[2].startswith("merged:bf16") and lines[2].endswith("merged/little-bf16")
    text = " ".join(plan.stdout.split())
    assert "of it in between) of" in text
    assert "asking the tuned model needs the most" in text
    assert "gguf:q4_k_m: 9 of 12 tensors have rows that are not a multiple of 256" in text


def test_the_plan_in_json_has_items_needs_and_problems(model: Path, home: Path) -> None:
    fields = json.loads(run(str(model), "--to", "gguf:q4_k_m", "--plan", "--json").stdout)
    assert fields["problems"] == [] and fields["items"][0]["type"] == "q4_k_m"
    assert fields["phases"][0]["name"] == "Asking the tuned model"
    assert {"needed_bytes", "free_bytes", "memory_bytes", "memory_free_bytes"} <= set(fields)


def test_bad_words_are_refused_with_what_there_is(model: Path, home: Path, tmp_path: Path) -> None:
    for words in (["--to", "gguf:q9"], []):
        with pytest.raises(AfinaError, match="gguf:f32"):
            run(str(model), *words)
    with pytest.raises(AfinaError, match="There is no run"):
        run(str(tmp_path / "nothing"), "--to", "gguf:f16")
