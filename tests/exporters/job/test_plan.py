"""The plan says what will be written, and everything that stands in the way, before it starts."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from core.errors import AfinaError
from core.figures import size
from core.jobs import State, process_identity
from core.paths import ROOT
from core.runs.target import Target, resolve
from exporters import resources
from exporters.contract import Options
from exporters.job import plan as plans
from exporters.job import request as requests
from exporters.job.export_spec import Wanted
from exporters.job.plan import make_plan, narrowed
from exporters.job.request import all_exports, create_export, read_request
from exporters.parity.reference import reference_bytes
from exporters.results import Origin, Result, enter, entry_of, exports_folder
from tests.core.runs.test_target import finished_run, model_folder, peft
from tests.exporters.tokenizers_of import train, write_model

HEAVY = ("torch", "transformers", "peft", "trl", "datasets", "llama_cpp", "gguf", "onnx")
HEAVY += ("onnx_ir", "onnxruntime", "onnxruntime_genai")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plan") / "little"
    write_model(folder, train("gpt-2"))
    return folder


def test_the_plan_names_files_sizes_and_needs(model: Path, home: Path) -> None:
    plan = make_plan(home, str(model), ["gguf:q8_0", "gguf:q4_k_m"])
    assert plan.problems == []
    assert [Path(item.path) for item in plan.items] == [
        home / "exports" / "little" / "gguf" / f"little-{name}.gguf" for name in ("q8_0", "q4_k_m")
    ]
    sizes = [item.bytes for item in plan.items]
    assert plan.needed_bytes == plan.temporary_bytes + sum(sizes)
    assert plan.free_bytes > plan.needed_bytes and plan.memory_bytes > 0
    assert not any(item.replaces for item in plan.items)


def test_only_what_is_compared_lies_on_the_disk_in_between(model: Path, home: Path) -> None:
    compared = reference_bytes(json.loads((model / "config.json").read_text())["vocab_size"])
    for types in ("gguf:f16,q4_k_m", "gguf:bf16", "gguf:bf16,q8_0"):
        assert make_plan(home, str(model), types).temporary_bytes == compared


def test_a_plan_for_some_of_its_exports_is_that_of_these_alone(model: Path, home: Path) -> None:
    everything = make_plan(home, str(model), "gguf:f32,q8_0")
    chosen = narrowed(everything, {Wanted("gguf", "q8_0")})
    alone = make_plan(home, str(model), "gguf:q8_0")
    assert chosen.items == alone.items and chosen.needed_bytes == alone.needed_bytes
    assert [phase.name for phase in chosen.phases] == [phase.name for phase in alone.phases]
    assert everything.needed_bytes > chosen.needed_bytes


def test_rows_that_are_not_a_multiple_of_256_are_said(model: Path, home: Path) -> None:
    items = make_plan(home, str(model), "gguf:q4_k_m,q8_0").items
    assert "9 of 12 tensors have rows that are not a multiple of 256" in items[0].notes[0]
    assert items[1].notes == []


def test_too_little_disk_is_refused_with_the_numbers(
    model: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(resources.shutil, "disk_usage", lambda path: usage(100, 90, 10))
    plan = make_plan(home, str(model), "gguf:f16")
    assert f"needs {size(plan.needed_bytes)} of disk" in plan.problems[0].message
    with pytest.raises(AfinaError, match="10 B are free"):
        create_export(home, str(model), "gguf:f16")
    assert all_exports(home) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"model_type": "mamba"},
            'doesn\'t know its family "mamba". Supported: gemma2, gemma3_text,',
        ),
        ({"hidden_act": "gelu"}, 'activation is "gelu"'),
        ({"rope_scaling": {"type": "dynamic", "factor": 2}}, 'of the type "dynamic"'),
        ({"num_hidden_layers": 2}, 'lack the tensor for "blk.1.attn_q.weight"'),
    ],
)
def test_a_model_that_can_not_become_gguf_is_refused_with_the_reason(
    model: Path, home: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    folder = changed(model, tmp_path, change)
    problem = make_plan(home, str(folder), "gguf:f16").problems[0]
    assert words in f"{problem.message} {problem.hint}"


def test_a_configuration_that_lacks_its_longest_context_is_refused(
    model: Path, home: Path, tmp_path: Path
) -> None:
    path = changed(model, tmp_path, {}) / "config.json"
    config = json.loads(path.read_text())
    del config["max_position_embeddings"]
    path.write_text(json.dumps(config))
    problem = make_plan(home, str(path.parent), "gguf:f16").problems[0]
    assert "lacks max_position_embeddings" in problem.message


def test_a_sliding_window_bounds_the_context_and_is_said(
    model: Path, home: Path, tmp_path: Path
) -> None:
    folder = changed(model, tmp_path, {"model_type": "mistral", "sliding_window": 64})
    plan = make_plan(home, str(folder), "gguf:f16")
    assert plan.problems == [] and "sliding window of 64 tokens" in plan.notes[0]


def test_a_job_remembers_what_was_asked_from_anywhere(
    model: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parent)
    job = create_export(home, "little", ["gguf:F16"])
    request = read_request(job)
    assert (request.target, request.to) == (str(model), ["gguf:f16"])
    assert Path(request.out) == home / "exports" / "little"
    assert [found.directory for found in all_exports(home)] == [job.directory]
    assert job.directory.name[11:].startswith("export-little-")


def test_a_job_remembers_the_adapter_that_was_laid_over_a_run_s_base(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished_run(home, model_folder(tmp_path / "base").resolve(), "one")
    empty = plans.Plan("", str(home / "exports"))
    monkeypatch.setattr(requests, "plan_for", lambda *rest, **options: empty)
    for adapter, own in ((str(peft(tmp_path / "other")), "other"), (None, None)):
        job = create_export(home, f"{run.id}@base", "gguf:f16", adapter)
        request = read_request(job)
        target = resolve(home, request.target, request.adapter)
        assert target == resolve(home, f"{run.id}@base", adapter)
        assert own is None or target.adapter == str(tmp_path / own)
        job.directory.rename(tmp_path / f"job-{own}")


def test_a_second_export_of_the_same_model_waits_for_the_first(model: Path, home: Path) -> None:
    job = create_export(home, str(model), "gguf:f16")
    identity = process_identity(os.getpid())
    job.write_state(State("running", pid=os.getpid(), process=identity))
    with pytest.raises(AfinaError, match="at work already"):
        create_export(home, str(model), "gguf:q8_0")
    job.write_state(State("done"))
    assert create_export(home, str(model), "gguf:q8_0").directory != job.directory


def test_each_point_of_a_run_has_exports_of_its_own(home: Path, tmp_path: Path) -> None:
    result, step = (Target("r", "hf", "m", run=str(tmp_path), label=n) for n in ("r", "r @ 25"))
    assert exports_folder(home, result) == tmp_path / "exports"
    assert exports_folder(home, step) == tmp_path / "exports" / "25"


def test_another_model_of_the_same_name_has_another_folder(home: Path, tmp_path: Path) -> None:
    one, other = (Target("m", "hf", f"/{n}/m", label="m") for n in "ab")
    folder = exports_folder(home, one)
    assert exports_folder(home, other) == folder
    (folder / "gguf").mkdir(parents=True)
    (folder / "gguf" / "m-f16.gguf").write_bytes(b"1234")
    row = Result("gguf/m-f16.gguf", "gguf", "f16", 4, "pass")
    enter(folder, row, entry_of(row, "00", Origin("m", one.model)))
    assert exports_folder(home, one) == folder != exports_folder(home, other)
    assert exports_folder(home, other).name.startswith("m-")


def test_a_gguf_file_is_not_exported_again(home: Path, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 0))
    plan = make_plan(home, str(tmp_path / "x.gguf"), "gguf:f16")
    assert "is a GGUF file already" in plan.problems[0].message


def test_where_float32_does_not_fit_the_tuned_model_is_asked_in_half_of_it(
    model: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert make_plan(home, str(model), "gguf:f16").reference == "float32"
    needed = make_plan(home, str(model), "gguf:f16").memory_bytes
    monkeypatch.setattr(plans, "free_memory", lambda: needed - 1)
    plan = make_plan(home, str(model), "gguf:f16")
    assert plan.problems == [] and plan.reference == "bfloat16"
    assert plan.memory_bytes < needed
    assert any("asked in bfloat16" in note and size(needed) in note for note in plan.notes)


def test_too_little_memory_is_refused_with_the_numbers(
    model: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "free_memory", lambda: 64 * 2**20)
    plan = make_plan(home, str(model), "gguf:f16")
    assert plan.problems[0].message == (
        f"Asking the tuned model needs {size(plan.memory_bytes)} of memory, and 64.0 MiB are free."
    )
    assert len(plan.items) == 1
    with pytest.raises(AfinaError, match="64.0 MiB are free"):
        create_export(home, str(model), "gguf:f16")


def test_a_kind_that_is_impossible_leaves_the_others_in_the_plan(home: Path, model: Path) -> None:
    folder = home / "mamba"
    shutil.copytree(model, folder)
    config = json.loads((model / "config.json").read_text()) | {"model_type": "mamba"}
    (folder / "config.json").write_text(json.dumps(config))
    plan = make_plan(home, str(folder), ["gguf:q4_k_m", "merged"])
    assert [(item.kind, item.type) for item in plan.items] == [("merged", "bf16")]
    assert [(problem.kind, problem.type) for problem in plan.problems] == [("gguf", "")]
    with pytest.raises(AfinaError, match='"mamba"'):
        create_export(home, str(folder), ["gguf:q4_k_m", "merged"])


def test_a_type_that_is_impossible_leaves_the_others_in_the_plan(home: Path, model: Path) -> None:
    plan = make_plan(home, str(model), "gguf:f16,lora")  # there is no adapter
    assert [item.type for item in plan.items] == ["f16"]
    assert [(problem.kind, problem.type) for problem in plan.problems] == [("gguf", "lora")]


def test_an_option_that_would_do_nothing_is_refused(
    home: Path, model: Path, tmp_path: Path
) -> None:
    plan = make_plan(home, str(model), "merged", options=Options(imatrix=""))
    assert "--imatrix is for GGUF files." in plan.problems[0].message
    missing = Options(imatrix=str(tmp_path / "nothing.txt"))
    plan = make_plan(home, str(model), "gguf:q4_k_m", options=missing)
    assert ["There is no file" in problem.message for problem in plan.problems] == [True]
    text = tmp_path / "text.txt"
    text.write_text("Hello.")
    plan = make_plan(home, str(model), "gguf:f16,q4_k_m", options=Options(imatrix=str(text)))
    assert ["changes nothing" in " ".join(item.notes) for item in plan.items] == [True, False]


def test_planning_loads_nothing_heavy(model: Path, home: Path) -> None:
    code = (
        "import sys, afina, tui.cli.export, exporters.job.request, exporters.results\n"
        "from pathlib import Path\n"
        "from exporters.job.plan import make_plan\n"
        f"make_plan(Path({str(home)!r}), {str(model)!r}, 'gguf:q4_k_m,onnx:int4,merged')\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def changed(model: Path, folder: Path, change: dict[str, Any]) -> Path:
    """A copy of a model with other options."""
    shutil.copytree(model, folder / "copy")
    config = json.loads((model / "config.json").read_text()) | change
    (folder / "copy" / "config.json").write_text(json.dumps(config))
    return folder / "copy"
