"""The gate over ONNX folders: what was trained passes, the base and edited files are caught."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.runs.target import Target
from exporters.contract import Working
from exporters.onnx.exporter import Onnx
from exporters.parity.judge import judge
from exporters.parity.measure import measure
from exporters.parity.reference import Reference
from exporters.results import FAIL, PASS, Check, part
from tests.exporters import models

TYPE = "int4"


@pytest.fixture(scope="module")
def folder(tuned: Target, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tuned model in 4 bits."""
    home = tmp_path_factory.mktemp("onnx")
    write(tuned, home / "right")
    return home / "right"


def write(target: Target, path: Path) -> None:
    scratch = path.with_name(f"{path.name}-scratch")
    scratch.mkdir()
    Onnx(target).write({TYPE: path}, Working(lambda *_: None, lambda: None, scratch, 1))


@pytest.fixture
def checked(
    tuned: Target, reference: Reference, working: Working
) -> Iterator[Callable[[Path], dict[str, Check]]]:
    """The checks of a folder that don't pass, by name."""

    def found(path: Path) -> dict[str, Check]:
        m = measure(Onnx(tuned), TYPE, path, reference, working, lambda done, total: None)
        checks = judge(m, "onnx", TYPE)
        return {check.name: check for check in checks if check.verdict != PASS}

    yield found


def test_the_tuned_model_passes_as_onnx(
    folder: Path, checked: Callable[[Path], dict[str, Check]]
) -> None:
    assert checked(folder) == {}


def test_the_base_in_place_of_the_tuned_model_is_caught(
    base: Path, tmp_path: Path, checked: Callable[[Path], dict[str, Check]]
) -> None:
    write(Target("b", "hf", str(base), label="b"), tmp_path / "b")
    found = checked(tmp_path / "b")
    assert found["tuning"].verdict == FAIL and "missing" in found["tuning"].hint


def test_edited_files_of_a_folder_are_caught(
    folder: Path, tmp_path: Path, checked: Callable[[Path], dict[str, Check]]
) -> None:
    wrong = shutil.copytree(folder, tmp_path / "wrong")
    config = json.loads((wrong / "genai_config.json").read_text())
    config["model"]["eos_token_id"] = [9]
    (wrong / "genai_config.json").write_text(json.dumps(config))
    tokenizer = json.loads((wrong / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    one, two = [word for word in vocabulary if word.isascii() and word.isalpha()][-2:]
    vocabulary[one], vocabulary[two] = vocabulary[two], vocabulary[one]
    (wrong / "tokenizer.json").write_text(json.dumps(tokenizer))
    found = checked(wrong)
    assert found["stop tokens"].verdict == FAIL
    assert "doesn't stop the export" in found["stop tokens"].message
    assert found["vocabulary"].verdict == FAIL


def test_a_wrong_template_in_a_folder_is_caught(
    folder: Path, tmp_path: Path, checked: Callable[[Path], dict[str, Check]]
) -> None:
    wrong = shutil.copytree(folder, tmp_path / "wrong")
    source = "{% for m in messages %}{{ m['content'] }} {% endfor %}" + models.ANSWER[0]
    (wrong / "chat_template.jinja").write_text(source)
    settings = json.loads((wrong / "tokenizer_config.json").read_text())
    if "chat_template" in settings:
        settings["chat_template"] = source
        (wrong / "tokenizer_config.json").write_text(json.dumps(settings))
    found = checked(wrong)
    assert found["prompts"].verdict == found["bos"].verdict == FAIL


def test_an_adapter_apart_passes_over_its_base(
    tuned: Target, reference: Reference, working: Working, tmp_path: Path
) -> None:
    exporter, type_name = Onnx(tuned), f"multi-{TYPE}"
    path = part(Path(exporter.item(type_name, tmp_path).path))
    exporter.write({type_name: path}, working)
    m = measure(exporter, type_name, path, reference, working, lambda done, total: None)
    assert [check for check in judge(m, "onnx", type_name) if check.verdict != PASS] == []
    assert m.others is not None and m.carried == pytest.approx(1.0, abs=0.1)
