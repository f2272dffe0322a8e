"""Run directories: created, found, listed, deleted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.config import Config, Data, Method, Model
from core.errors import AfinaError
from core.events import EventWriter
from core.jobs import State, process_identity
from core.runs.run import (
    Run,
    active_runs,
    all_runs,
    create_run,
    default_name,
    delete_run,
    find_run,
    slug,
    summary,
)

CONFIG = Config(model=Model("some/model"), data=Data("travel.jsonl"))


def test_a_run_keeps_its_whole_configuration_with_absolute_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "travel.jsonl").write_text("{}\n")
    run = create_run(tmp_path / "home", CONFIG)
    assert run.config.data.path == str(tmp_path / "travel.jsonl")
    assert run.config.model.name_or_path == "some/model"  # a hub id stays as it is
    assert run.config.name == "travel-lora"
    assert run.config.train == CONFIG.train


def test_mixtures_and_patterns_mean_the_same_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("more.jsonl", "chatml"):
        (tmp_path / name).write_text("{}\n")
    data = Data("parts/*.jsonl", mix={"more.jsonl": 2.0}, chat_template="chatml")
    config = create_run(tmp_path / "home", Config(model=Model("a/b"), data=data)).config
    assert config.data.path == str(tmp_path / "parts" / "*.jsonl")
    assert config.data.mix == {str(tmp_path / "more.jsonl"): 2.0}
    assert config.data.chat_template == "chatml"  # the built-in one, whatever lies in the folder
    assert config.name == "parts-lora"


def test_names_become_parts_of_folder_names(tmp_path: Path) -> None:
    assert slug("Été à Lima / v2!") == "ete-a-lima-v2"
    assert slug("***") == "run"
    assert default_name(Config(data=Data("a/b/food.v2.jsonl"), method=Method("full"))) == (
        "food.v2-full"
    )
    run = create_run(tmp_path, Config(name="My First Run"))
    assert run.name == "my-first-run"
    assert run.directory.parent == tmp_path / "runs"


def test_runs_of_one_name_and_day_do_not_collide(tmp_path: Path) -> None:
    assert len({create_run(tmp_path, CONFIG).id for _ in range(5)}) == 5


def test_a_run_is_found_by_id_name_start_and_directory(tmp_path: Path) -> None:
    first = create_run(tmp_path, CONFIG)
    os.utime(first.directory / "config.yaml", (1, 1))
    second = create_run(tmp_path, CONFIG)
    second.write_state(State("done"))
    assert find_run(tmp_path, first.id).id == first.id
    assert find_run(tmp_path, "travel-lora").id == second.id
    assert find_run(tmp_path, "last").id == second.id
    assert find_run(tmp_path, str(second.directory)).id == second.id
    with pytest.raises(AfinaError, match="There is no run") as error:
        find_run(tmp_path, "travel-lore")
    assert 'Did you mean "travel-lora"' in error.value.hint


def test_a_home_without_runs_is_not_an_error(tmp_path: Path) -> None:
    assert all_runs(tmp_path / "nowhere") == []
    with pytest.raises(AfinaError, match='There is no run "last"'):
        find_run(tmp_path, "last")


def test_only_folders_with_a_manifest_count(tmp_path: Path) -> None:
    run = create_run(tmp_path, CONFIG)
    for name in ("checkpoints/step-000010", "checkpoints/step-000002", "adapter"):
        (run.directory / name).mkdir(parents=True)
    assert run.checkpoints() == []
    assert run.result is None
    for name in ("checkpoints/step-000010", "checkpoints/step-000002", "adapter"):
        (run.directory / name / "manifest.json").write_text("{}")
    assert [folder.name for folder in run.checkpoints()] == ["step-000002", "step-000010"]
    assert run.result == run.directory / "adapter"


def test_the_summary_has_the_newest_figures(tmp_path: Path) -> None:
    run = create_run(tmp_path, CONFIG)
    writer = EventWriter(run.events_path)
    writer.write("step", step=1, loss=3.0, tokens_per_s=10.0)
    writer.write("eval", step=1, eval_loss=2.5)
    writer.write("step", step=2, loss=float("nan"), tokens_per_s=12.0)
    run.write_state(State("stopped", step=2, steps=9, reason="Stopped at step 2; resumable."))
    row = summary(run)
    assert (row.run, row.state, row.step, row.steps) == (run.id, "stopped", 2, 9)
    assert (row.eval_loss, row.tokens_per_s) == (2.5, 12.0)
    assert row.train_loss != row.train_loss  # not a number, and not hidden
    assert row.started == run.events()[0]["t"]


def test_a_run_at_work_is_listed_as_active_and_not_deleted(tmp_path: Path) -> None:
    idle, busy = create_run(tmp_path, CONFIG), create_run(tmp_path, CONFIG)
    idle.write_state(State("done"))
    busy.write_state(State("running", pid=os.getpid(), process=process_identity(os.getpid())))
    assert [run.id for run in active_runs(tmp_path)] == [busy.id]
    with pytest.raises(AfinaError, match="is at work"):
        delete_run(busy)
    delete_run(idle)
    assert [run.id for run in all_runs(tmp_path)] == [busy.id]
    assert not Run(idle.directory).directory.exists()
