"""llama.cpp's own converter takes the models that ours refuses; here a script stands in for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import AfinaError
from core.runs.target import Target
from exporters.contract import Options, Working
from exporters.gguf.exporter import Gguf
from tests.exporters.tokenizers_of import train, write_model

SCRIPT = """
import argparse, json, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("model"), parser.add_argument("--outfile"), parser.add_argument("--outtype")
given = parser.parse_args()
folder = pathlib.Path(given.model)
told = {"type": given.outtype, "files": sorted(path.name for path in folder.iterdir())}
pathlib.Path(given.outfile).write_text(json.dumps(told))
"""


@pytest.fixture(scope="module")
def unknown(tmp_path_factory: pytest.TempPathFactory) -> Target:
    """A model of a family that ours doesn't know."""
    folder = tmp_path_factory.mktemp("converted") / "strange"
    write_model(folder, train("gpt-2"))
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "strange"}
    (folder / "config.json").write_text(json.dumps(config))
    return Target(str(folder), "hf", str(folder), label="strange")


@pytest.fixture(scope="module")
def llama_cpp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama.cpp")
    (folder / "gguf-py" / "gguf").mkdir(parents=True)
    (folder / "convert_hf_to_gguf.py").write_text(SCRIPT)
    return folder


def working(scratch: Path) -> Working:
    return Working(lambda *values: None, lambda: None, scratch, 1)


def test_a_model_that_ours_refuses_is_merged_and_handed_on(
    unknown: Target, llama_cpp: Path, tmp_path: Path
) -> None:
    exporter = Gguf(unknown, Options(llama_cpp=str(llama_cpp)))
    assert "llama.cpp's makes it" in exporter.notes[0]
    item = exporter.item("f16", tmp_path)
    assert item.path == str(tmp_path / "gguf" / "strange-f16.gguf")
    assert item.temporary_bytes > item.bytes  # the merged copy has 32 bits
    exporter.write({"f16": tmp_path / "a", "q8_0": tmp_path / "b"}, working(tmp_path))
    told = [json.loads((tmp_path / name).read_text()) for name in "ab"]
    assert [each["type"] for each in told] == ["f16", "q8_0"]
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= set(told[0]["files"])
    assert exporter.answering("f16", tmp_path / "a", working(tmp_path)).kind == "gguf"


def test_the_environment_may_name_the_folder(
    unknown: Target, llama_cpp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AfinaError, match="--llama-cpp DIR"):
        Gguf(unknown)
    monkeypatch.setenv("LLAMA_CPP_DIR", str(llama_cpp))
    assert Gguf(unknown).notes


def test_what_it_can_not_make_is_refused_beforehand(
    unknown: Target, llama_cpp: Path, tmp_path: Path
) -> None:
    exporter = Gguf(unknown, Options(llama_cpp=str(llama_cpp)))
    with pytest.raises(AfinaError, match="importance matrix"):
        exporter.item("iq2_xxs", tmp_path)
    with pytest.raises(AfinaError, match="adapter alone"):
        exporter.item("lora", tmp_path)
    with pytest.raises(AfinaError, match="Leave out --imatrix"):
        Gguf(unknown, Options(imatrix="", llama_cpp=str(llama_cpp)))
    with pytest.raises(AfinaError, match="lacks convert_hf_to_gguf.py and gguf-py/gguf"):
        Gguf(unknown, Options(llama_cpp=str(tmp_path)))


def test_a_model_that_ours_knows_is_not_handed_on(llama_cpp: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "known", train("gpt-2"))
    target = Target("known", "hf", str(tmp_path / "known"), label="known")
    exporter = Gguf(target, Options(llama_cpp=str(llama_cpp)))
    assert "llama.cpp's converter is not used" in exporter.notes[-1]
    assert exporter.item("f16", tmp_path).temporary_bytes == 0
    with pytest.raises(AfinaError, match="lacks convert_hf_to_gguf.py"):
        Gguf(target, Options(llama_cpp=str(tmp_path)))
