"""`afina plan`: figures before a run, and with --probe measured ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.runs.run import all_runs
from exporters.support import why_not
from tests.core.train.conftest import chat_file, configure, tiny_model  # noqa: F401
from tests.tui.cli.test_train import afina, write_config


def test_the_plan_is_one_object_for_programs_and_a_block_for_people(
    home: Path,
    configure: Any,  # noqa: F811
) -> None:
    path = write_config(home, configure("train.max_steps=40", "train.lr_scheduler_type=wsd"))
    done = afina(home, "plan", path, "train.warmup_ratio=0.1", "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert {
        "parameters", "trainable", "steps", "course", "memory", "memory_bytes", "fits", "seconds",
        "tokens_per_s", "speed_source", "disk_bytes", "export_bytes", "probe", "problems", "data",
    } <= set(plan)  # fmt: skip
    course = {"kind": "wsd", "peak": 0.01, "warmup_steps": 4, "decay_from": 32}
    assert (plan["steps"], plan["course"]) == (40, course)
    assert set(plan["export_bytes"]) == {"f16", "q8_0", "q4_k_m"}
    shown = afina(home, "plan", path).stdout
    assert "steps     40 of about" in shown and "--probe" in shown
    assert all_runs(home) == []


def test_a_bad_configuration_is_refused_with_all_problems(
    home: Path,
    configure: Any,  # noqa: F811
) -> None:
    path = write_config(home, configure())
    done = afina(home, "plan", path, "data.path=/nowhere.jsonl", "model.name_or_path=no/such/model")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 2


def test_a_probe_measures_and_the_next_plan_knows_it(
    home: Path,
    configure: Any,  # noqa: F811
) -> None:
    path = write_config(home, configure("train.max_steps=40"))
    done = afina(home, "plan", path, "--probe", "--json")
    assert done.returncode == 0, done.stderr
    probe = json.loads(done.stdout)["probe"]
    assert [point["micro_batch"] for point in probe["points"]] == [2, 4]
    assert probe["fits"] and probe["largest_batch"] >= 4
    assert probe["peak_bytes"] == probe["points"][1]["peak_bytes"] > 100 * 2**20
    assert "two steps at batch 2" in done.stderr
    later = json.loads(afina(home, "plan", path, "train.learning_rate=1e-3", "--json").stdout)
    assert later["probe"]["peak_bytes"] == probe["peak_bytes"]
    assert later["speed_source"] == "probe"
    assert all_runs(home) == []


@pytest.mark.parametrize(
    ("family", "warns"), [("llama", False), ("qwen3", False), ("mamba", True), ("gpt2", True)]
)
def test_a_family_that_can_not_be_exported_is_a_warning(
    tmp_path: Path,
    configure: Any,  # noqa: F811
    tiny_model: Path,  # noqa: F811
    family: str,
    warns: bool,
) -> None:
    values = json.loads((tiny_model / "config.json").read_text()) | {"model_type": family}
    (tmp_path / "config.json").write_text(json.dumps(values))
    problem = why_not(configure(f"model.name_or_path={tmp_path}"))
    assert (problem is not None) == warns
    if problem is not None:
        assert problem.severity == "warning" and family in problem.message
