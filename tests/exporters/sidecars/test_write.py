"""Sidecars on disk: made anew after each result, beside what they are about."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.config import Config, Data, config_io
from core.errors import AfinaError
from core.runs.target import Target
from exporters.results import FAIL, PASS, Origin, Result, enter, entry_of
from exporters.sidecars.write import UNTRANSLATED, write_sidecars
from tests.exporters import models
from tests.exporters.sidecars.test_modelfile import parse

ORIGIN = Origin("word", "model")


def make_result(folder: Path, name: str, type_name: str = "q8_0", **fields: Any) -> Result:
    """A result with a file of some bytes at its path."""
    path = folder / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(b"GGUF")
    return Result(str(path), name.partition("/")[0], type_name, 4, fields.pop("verdict", PASS))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sidecars") / "base"
    models.make_model(folder, **{"hidden_size": 64, "intermediate_size": 96})  # type: ignore[arg-type]
    generation = json.loads((folder / "generation_config.json").read_text())
    generation |= {"do_sample": True, "temperature": 0.5}
    (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder


def test_a_gguf_gets_a_modelfile_and_the_folder_a_card(model: Path, tmp_path: Path) -> None:
    target = Target("base", "hf", str(model), label="Base")
    found = make_result(tmp_path, "gguf/base-q8_0.gguf")
    written = write_sidecars(tmp_path, [found], ORIGIN, target)
    assert written == [tmp_path / "README.md", tmp_path / "gguf" / "base-q8_0.Modelfile"]
    commands = parse(written[1].read_text())
    assert commands[0] == ("FROM", "./base-q8_0.gguf") and commands[1][0] == "TEMPLATE"
    assert commands[2:] == [
        ("PARAMETER stop", "<|im_end|>"),
        ("PARAMETER temperature", "0.5"),
        ("PARAMETER num_ctx", "512"),
    ]
    card = written[0].read_text()
    assert "| `gguf/base-q8_0.gguf` |" in card and str(tmp_path) not in card
    assert str(model) not in card + written[1].read_text()


def test_a_later_export_keeps_the_earlier_rows_and_one_that_failed_gets_no_modelfile(
    model: Path, tmp_path: Path
) -> None:
    target = Target("base", "hf", str(model), label="Base")
    earlier = make_result(tmp_path, "gguf/base-f16.gguf", "f16")
    enter(
        tmp_path,
        msgspec.structs.replace(earlier, path="gguf/base-f16.gguf"),
        entry_of(earlier, "0", ORIGIN),
    )
    failed = make_result(tmp_path, "gguf/base-q2_k.failed.gguf", "q2_k", verdict=FAIL)
    written = write_sidecars(tmp_path, [failed], ORIGIN, target)
    assert [path.name for path in written] == ["README.md", "base-f16.Modelfile"]
    rows = [line for line in written[0].read_text().splitlines() if line.startswith("| `gguf")]
    assert len(rows) == 2 and "**fail**" in rows[1]


def test_a_lora_file_names_the_base_that_it_is_laid_over(model: Path, tmp_path: Path) -> None:
    target = Target("base", "hf", str(model), label="Base")
    lora = make_result(tmp_path, "gguf/base-lora.gguf", "lora")
    text = write_sidecars(tmp_path, [lora], ORIGIN, target)[1].read_text()
    assert parse(text)[:2] == [("FROM", "./base.gguf"), ("ADAPTER", "./base-lora.gguf")]
    assert "# FROM is the base model as GGUF" in text


def test_a_bos_that_programs_add_is_left_out_of_the_template(model: Path, tmp_path: Path) -> None:
    """tokenizer.ggml.add_bos_token is true where the tokenizer adds BOS and the template has it."""
    from tests.exporters.tokenizers_of import BOS, train, write_model

    template = "{{- bos_token -}}" + models.TEMPLATE
    for name, adds in (("adds", True), ("leaves", False)):
        tokenizer = train("gpt-2", bos=adds)
        write_model(tmp_path / name, tokenizer, template, names_bos=True)
        target = Target(name, "hf", str(tmp_path / name), label=name)
        found = make_result(tmp_path / f"{name}-out", "gguf/x-f16.gguf", "f16")
        path = write_sidecars(tmp_path / f"{name}-out", [found], ORIGIN, target)[1]
        read = dict(parse(path.read_text()))["TEMPLATE"]
        assert (BOS in read) is not adds


def test_a_template_that_can_not_be_translated_is_left_to_ollama_and_said(
    model: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.jinja"
    own.write_text("{% for m in messages %}{{ loop.index }}{{ m.content }}{% endfor %}")
    target = Target("base", "hf", str(model), chat_template=str(own), label="Base")
    found = make_result(tmp_path, "gguf/base-f16.gguf", "f16")
    text = write_sidecars(tmp_path, [found], ORIGIN, target)[1].read_text()
    assert "TEMPLATE" not in dict(parse(text))
    assert UNTRANSLATED[:60] in text


def test_a_run_tells_its_training_and_its_length_is_the_least_context(
    model: Path, tmp_path: Path
) -> None:
    longer = tmp_path / "longer"
    shutil.copytree(model, longer)
    config = json.loads((longer / "config.json").read_text())
    (longer / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 40000}))
    run = tmp_path / "run"
    run.mkdir()
    frozen = Config(data=Data(path="travel.jsonl", max_length=8192))
    (run / "config.yaml").write_text(config_io.to_yaml(frozen))
    (run / "base.txt").write_text(str(longer))
    target = Target("r", "hf", str(longer), run=str(run), label="r")
    found = make_result(tmp_path, "gguf/r-f16.gguf", "f16")
    card, modelfile = write_sidecars(tmp_path, [found], ORIGIN, target)
    assert "| method.kind | lora |" in card.read_text()
    assert ("PARAMETER num_ctx", "8192") in parse(modelfile.read_text())
    (run / "config.yaml").write_text(config_io.to_yaml(Config()))
    write_sidecars(tmp_path, [found], ORIGIN, target)
    assert ("PARAMETER num_ctx", "4096") in parse(modelfile.read_text())


def test_a_disk_that_takes_no_more_is_told_and_the_earlier_card_stays(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Target("base", "hf", str(model), label="Base")
    write_sidecars(tmp_path, [], ORIGIN, target)
    before = (tmp_path / "README.md").read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.paths.os.replace", full)
    with pytest.raises(AfinaError, match="No space left on device") as error:
        write_sidecars(tmp_path, [make_result(tmp_path, "gguf/a.gguf")], ORIGIN, target)
    assert "complete" in error.value.hint
    assert (tmp_path / "README.md").read_bytes() == before
