"""What shows on the disk before a run is made."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from core import hardware
from core.train.checks.preflight import files
from tests.core.train.conftest import Configure

Usage = namedtuple("Usage", "total used free")


def test_a_run_that_has_room_has_no_problem(configure: Configure, home: Path) -> None:
    assert files.problems(home, configure()) == []


@pytest.mark.parametrize(("free", "severity"), [(100 * 2**20, ""), (64 * 2**20, "error")])
def test_a_disk_without_room_for_two_checkpoints_is_told_with_numbers(
    configure: Configure, home: Path, monkeypatch: pytest.MonkeyPatch, free: int, severity: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(2**40, 0, free))
    found = files.problems(home, configure("method.kind=full"))
    assert [problem.severity for problem in found] == ([severity] if severity else [])
    if found:
        assert "64.0 MiB are free" in found[0].message and found[0].field == "checkpoint.keep"


def test_tokens_beyond_the_embeddings_are_told(
    configure: Configure, home: Path, tiny_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    values["added_tokens"].append({"id": 5000, "content": "<|late|>", "special": True})
    path.write_text(json.dumps(values))
    (problem,) = files.problems(home, configure(f"model.name_or_path={folder}"))
    assert problem.severity == "warning"
    assert '"<|late|>" beyond the model\'s 400 embeddings' in problem.message


def test_a_model_without_plain_weights_is_told_before_the_run(
    configure: Configure, home: Path, tiny_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    (folder / "model.safetensors").unlink()
    (problem,) = files.problems(home, configure(f"model.name_or_path={folder}"))
    assert "no safetensors weights" in problem.message


def test_a_model_without_a_tokenizer_is_told_before_the_run(
    configure: Configure, home: Path, tiny_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder, ignore=shutil.ignore_patterns("tokenizer.json"))
    (problem,) = files.problems(home, configure(f"model.name_or_path={folder}"))
    assert problem.severity == "error" and "no tokenizer.json" in problem.message


@pytest.mark.parametrize(
    ("words", "field", "hint"),
    [
        (("method.target_modules=q_prok",), "method.target_modules", '"q_proj"'),
        (("method.target_modules=q_proj,nothing",), "method.target_modules", "gate_proj, k_proj"),
        (("method.modules_to_save=embed_tokenz",), "method.modules_to_save", '"embed_tokens"'),
        (("method.rank_pattern={mlp.down_prj: 4}",), "method.rank_pattern", '"down_proj"'),
        (("method.kind=full", "method.trainable_layers=99"), "method.trainable_layers", "at most"),
    ],
)
def test_layers_that_the_model_has_not_are_told_before_the_run(
    configure: Configure, home: Path, words: tuple[str, ...], field: str, hint: str
) -> None:
    (problem,) = files.problems(home, configure(*words))
    assert (problem.field, problem.severity) == (field, "error")
    assert hint in problem.hint


@pytest.mark.parametrize(
    "words",
    [
        ("method.target_modules=q_proj, mlp.down_proj",),
        ("method.modules_to_save=lm_head,embed_tokens",),
        ("method.rank_pattern={'layers.[01].mlp.down_proj': 4}",),
        ("method.kind=full", "method.trainable_layers=1"),
    ],
)
def test_layers_that_the_model_has_are_no_problem(
    configure: Configure, home: Path, words: tuple[str, ...]
) -> None:
    assert files.problems(home, configure(*words)) == []


@pytest.mark.parametrize("driver", [False, True])
def test_a_gpu_that_is_asked_for_must_show_on_the_machine(
    configure: Configure, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: bool
) -> None:
    there = tmp_path / "kfd"
    monkeypatch.setattr(files, "GPU_DRIVERS", (there,))
    monkeypatch.setattr(files, "read_device", lambda kind: hardware.read_device("cpu"))
    if driver:
        there.touch()
    found = files.problems(home, configure("launch.device=cuda"))
    assert [problem.field for problem in found] == ([] if driver else ["launch.device"])
