"""What has changed since a run last began: found without torch, and judged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from core.config import config_io
from core.runs.run import Run, create_run
from core.train.checkpoint import provenance, resume
from core.train.checkpoint.provenance import Facts
from core.train.checkpoint.resume import Difference, differences

Change = Callable[[Facts], Facts]


@pytest.fixture
def run(home: Path, tmp_path: Path) -> Run:
    """A run that came to a checkpoint, on a base of three files and rows of one."""
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    (base / "tokenizer.json").write_text('{"a": 1}')
    (base / "model.safetensors").write_bytes(bytes(range(256)) * 4000)
    (tmp_path / "rows.jsonl").write_text('{"text": "Hm"}\n')
    words = [f"model.name_or_path={base}", f"data.path={tmp_path / 'rows.jsonl'}"]
    made = create_run(home, config_io.parse("", [*words, "launch.device=cpu"]))
    checkpoint = made.directory / "checkpoints" / "step-000003"
    checkpoint.mkdir(parents=True)
    (checkpoint / "manifest.json").write_text("{}")
    provenance.keep(made.directory, provenance.look(made.config, base, "cpu", "float32"))
    return made


def base_of(run: Run) -> Path:
    return Path(run.config.model.name_or_path)


def recorded(run: Run, **changed: object) -> None:
    """As if the run had begun otherwise."""
    before = provenance.read(run.directory)
    assert before is not None
    provenance.keep(run.directory, msgspec.structs.replace(before, **changed))


def test_nothing_has_changed_since_a_moment_ago(run: Run) -> None:
    assert differences(run) == []
    assert resume.refusal(run, []) is None


def test_a_run_that_never_came_to_a_checkpoint_begins_anew_with_what_there_is(run: Run) -> None:
    (run.directory / "checkpoints" / "step-000003" / "manifest.json").unlink()
    Path(run.config.data.path).unlink()
    assert differences(run) == []


def test_rows_that_changed_or_went_decide(run: Run) -> None:
    rows = Path(run.config.data.path)
    rows.write_text('{"text": "Ho"}\n')
    (found,) = differences(run)
    assert (found.what, found.meaning) == (f'data.path "{rows}"', True)
    rows.unlink()
    (found,) = differences(run)
    assert found.now == "gone"


def test_a_base_model_that_changed_or_went_decides(run: Run) -> None:
    weights = base_of(run) / "model.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before[:700_000] + b"?" * 9000 + before[709_000:])
    (found,) = differences(run)
    assert "model.safetensors" in found.what and found.meaning
    weights.write_bytes(before)
    (base_of(run) / "tokenizer.json").unlink()
    (found,) = differences(run)
    assert (found.now, found.meaning) == ("gone", True)
    for path in base_of(run).iterdir():
        path.unlink()
    base_of(run).rmdir()
    (found,) = differences(run)
    assert (found.what, found.now) == (f'model "{base_of(run)}"', "gone")


def test_a_configuration_edited_by_hand_is_told_option_by_option(run: Run) -> None:
    path = run.directory / "config.yaml"
    text = path.read_text()
    path.write_text(text.replace("learning_rate: 0.0002", "learning_rate: 0.0001"))
    (found,) = differences(run)
    assert found == Difference("train.learning_rate", "0.0002", "0.0001", True)
    path.write_text(text.replace("keep: 3", "keep: 5"))
    (found,) = differences(run)
    assert found == Difference("checkpoint.keep", "3", "5", False)


@pytest.mark.parametrize(
    ("package", "before", "meaning"),
    [
        ("torch", "0.9.9", True),
        ("accelerate", "0.1.0", False),
        ("afina", "0.0.9", True),
    ],
)
def test_another_major_version_of_what_computes_decides(
    run: Run, package: str, before: str, meaning: bool
) -> None:
    recorded(run, versions=provenance.versions() | {package: before})
    (found,) = differences(run)
    assert (found.what, found.before, found.meaning) == (package, before, meaning)


def test_another_minor_version_is_told(run: Run) -> None:
    major = provenance.versions()["torch"].partition(".")[0]
    recorded(run, versions=provenance.versions() | {"torch": f"{major}.0.0+old"})
    (found,) = differences(run)
    assert (found.what, found.meaning) == ("torch", False)


def test_another_device_is_told_and_another_number_of_processes_decides(run: Run) -> None:
    recorded(run, device="cuda", device_name="A100", world_size=2)
    device, processes = differences(run)
    assert (device.before, device.meaning) == ("cuda (A100)", False)
    assert (processes.before, processes.now, processes.meaning) == ("2", "1", True)


def test_facts_that_are_garbage_are_none(run: Run) -> None:
    (run.directory / provenance.FILE).write_bytes(b'{"config": \xff')
    assert differences(run) == []


def test_a_refusal_names_what_decides_and_the_way_on(run: Run) -> None:
    found = [
        Difference("torch", "2.1", "2.2", False),
        Difference("train.beta", "0.1", "0.2", True),
    ]
    refused = resume.refusal(run, found)
    assert refused is not None
    assert "train.beta was 0.1 and is 0.2" in refused.message
    assert "torch" not in refused.message
    assert "--force" in refused.hint
    assert resume.refusal(run, found[:1]) is None


def test_force_counts_for_one_start(run: Run) -> None:
    assert not resume.is_forced(run)
    resume.force(run)
    assert json.loads((run.directory / resume.FORCE).read_text()) == {"force": True}
    assert resume.is_forced(run)
    resume.spend_force(run)
    assert not resume.is_forced(run)
