"""What a result needs of its base beside the weights: kept from the start of the run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from core.train.checkpoint import result
from core.train.model.precision import Precision
from core.train.setup import Setup
from tests.core.train.conftest import Configure

CONFIG = {"model_type": "llama", "torch_dtype": "float16", "rope_theta": 7}


@pytest.fixture
def setup(configure: Configure, tmp_path: Path) -> Setup:
    """A run that began on a base with a tokenizer and templates."""
    run, base = tmp_path / "run", tmp_path / "model"
    run.mkdir()
    (base / result.TEMPLATES).mkdir(parents=True)
    (base / result.TEMPLATES / "tools.jinja").write_text("tools")
    (base / "tokenizer.json").write_text("tokens")
    (base / "config.json").write_text(json.dumps(CONFIG))
    (base / "model.safetensors").write_text("never copied")
    return Setup(run, base, configure("method.kind=full"), Precision("cpu", "float32"))


def companions(setup: Setup, target: Path) -> dict[str, str]:
    target.mkdir()
    (target / "config.json").write_text(json.dumps({"dtype": "float32", "rope_theta": 8}))
    result.copy_companions(setup, target)
    return {path.name: path.read_text() for path in target.rglob("*") if path.is_file()}


def test_a_result_has_the_files_of_a_base_that_was_deleted(setup: Setup, tmp_path: Path) -> None:
    result.keep_companions(setup)
    shutil.rmtree(setup.base)
    found = companions(setup, tmp_path / "model-result")
    expected = {"model_type": "llama", "rope_theta": 7, "dtype": "float32"}
    assert json.loads(found.pop("config.json")) == expected
    assert found == {"tokenizer.json": "tokens", "tools.jinja": "tools"}


def test_what_was_kept_and_is_damaged_is_kept_anew(setup: Setup, tmp_path: Path) -> None:
    result.keep_companions(setup)
    kept = setup.run / result.COMPANIONS_FOLDER / "tokenizer.json"
    kept.write_text("tokenz")
    result.keep_companions(setup)
    assert kept.read_text() == "tokens"


def test_a_base_that_changes_in_mid_run_changes_no_result(setup: Setup, tmp_path: Path) -> None:
    result.keep_companions(setup)
    (setup.base / "tokenizer.json").write_text("others")
    result.keep_companions(setup)
    assert companions(setup, tmp_path / "model-result")["tokenizer.json"] == "tokens"
