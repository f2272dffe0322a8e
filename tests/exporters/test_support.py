"""What can't become GGUF is said before training, in the words of the export."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.config import Config
from core.errors import AfinaError
from core.runs.target import Target
from exporters.gguf.prepare import prepare
from exporters.support import refusal, why_not
from tests.exporters.tokenizers_of import train, train_sentencepiece, write_json, write_model


def configure(folder: Path) -> Config:
    return Config().laid_over({"model.name_or_path": str(folder)})


def change(path: Path, **values: object) -> None:
    write_json(path, json.loads(path.read_text()) | values)


def test_a_known_model_is_not_warned_of(tmp_path: Path) -> None:
    write_model(tmp_path, train_sentencepiece("first"))
    assert why_not(configure(tmp_path)) is None


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json"])
def test_the_warning_has_the_words_of_the_export(tmp_path: Path, file: str) -> None:
    write_model(tmp_path, train("gpt-2"))
    assert refusal(tmp_path) is None
    if file == "config.json":
        change(tmp_path / file, model_type="mamba")
    else:
        change(tmp_path / file, pre_tokenizer={"type": "Whitespace"})
    problem = why_not(configure(tmp_path))
    assert problem is not None and problem.severity == "warning"
    assert "--llama-cpp DIR or $LLAMA_CPP_DIR" in problem.hint
    with pytest.raises(AfinaError) as caught:
        prepare(Target("x", "hf", str(tmp_path), label="x"))
    assert (caught.value.message, caught.value.hint) == (problem.message, problem.hint)


def test_files_that_can_not_be_read_are_left_to_other_checks(tmp_path: Path) -> None:
    assert why_not(configure(tmp_path)) is None
    assert why_not(configure(tmp_path / "nowhere")) is None
    (tmp_path / "config.json").write_text("{")
    assert why_not(configure(tmp_path)) is None


def test_a_family_is_known_without_its_tokenizer(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"model_type": "mamba"})
    problem = why_not(configure(tmp_path))
    assert problem is not None and '"mamba"' in problem.message


def test_a_learned_prompt_is_warned_of(tmp_path: Path) -> None:
    write_model(tmp_path, train_sentencepiece("first"))
    problem = why_not(configure(tmp_path).laid_over({"method.kind": "prompt"}))
    assert problem is not None
    assert (problem.field, problem.severity) == ("method.kind", "warning")
    assert "nothing to export" in problem.message


def test_a_classifier_is_warned_of(tmp_path: Path) -> None:
    config = Config().laid_over({"train.objective": "classification"})
    problem = why_not(config)
    assert problem is not None and "classifier" in problem.message
    assert problem.field == "train.objective"
