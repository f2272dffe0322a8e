"""Words for models, and which adapter goes with which."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import msgspec
import pytest

from core.config import Data, config_io
from core.errors import AfinaError
from core.jobs import State
from core.runs.run import Run, create_run
from core.runs.target import choose_adapter, resolve, split_point

MODEL, ADAPTER = {"general.type": "model"}, {"general.type": "adapter"}


def gguf(path: Path, architecture: str = "llama", **keys: str) -> Path:
    """A GGUF file without weights, with some keys and arrays."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, architecture)
    writer.add_array("tokenizer.ggml.tokens", ["a", "bc", "def"])
    writer.add_array("some.numbers", [1.0, 2.0, 3.0])
    for key, value in keys.items():
        writer.add_string(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def lora(path: Path, architecture: str = "llama") -> Path:
    keys = {"adapter.type": "lora", "general.base_model.0.name": "tiny base"}
    return gguf(path, architecture, **ADAPTER | keys)


def model_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    return folder


def peft(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}")
    return folder


def onnx(folder: Path, *adapters: str) -> Path:
    (folder / "adapters").mkdir(parents=True)
    (folder / "genai_config.json").write_text("{}")
    for name in adapters:
        (folder / "adapters" / f"{name}.onnx_adapter").write_bytes(b"")
    return folder


def refused(home: Path, word: Path, *adapters: Path | str) -> str:
    with pytest.raises(AfinaError) as error:
        resolve(home, str(word), [str(adapter) for adapter in adapters])
    assert error.value.hint
    return str(error.value)


def test_a_gguf_file_takes_adapter_files_of_its_architecture(home: Path, tmp_path: Path) -> None:
    model = gguf(tmp_path / "m-q8_0.gguf", **MODEL)
    one, two = lora(tmp_path / "one.gguf"), lora(tmp_path / "two.gguf")
    target = resolve(home, str(model), [str(one), str(two)])
    assert (target.kind, target.adapter, target.adapters) == ("gguf", str(one), (str(two),))
    assert target.label == "m-q8_0 + one"
    assert resolve(home, str(model)).adapter is None


def test_an_adapter_is_not_laid_over_the_file_that_it_is_merged_into(
    home: Path, tmp_path: Path
) -> None:
    merged = gguf(tmp_path / "m.gguf", **MODEL | {"general.name": "travel"})
    base = gguf(tmp_path / "b.gguf", **MODEL | {"general.name": "tiny"})
    keys = {"adapter.type": "lora", "general.name": "travel", "general.base_model.0.name": "tiny"}
    lora = gguf(tmp_path / "lora.gguf", **ADAPTER | keys)
    assert 'holds "travel" already' in refused(home, merged, lora)
    assert resolve(home, str(base), str(lora)).adapter == str(lora)
    alike = gguf(tmp_path / "alike.gguf", **ADAPTER | keys | {"general.name": "tiny"})
    assert resolve(home, str(base), str(alike)).adapter == str(alike)  # a run named as its base


def test_a_gguf_file_without_a_type_is_a_model(home: Path, tmp_path: Path) -> None:
    model = gguf(tmp_path / "old.gguf")
    assert resolve(home, str(model), str(lora(tmp_path / "one.gguf"))).adapter is not None


def test_an_adapter_file_named_as_the_model_is_told_its_base(home: Path, tmp_path: Path) -> None:
    text = refused(home, lora(tmp_path / "one.gguf"))
    assert 'is an adapter, not a model: it goes with "tiny base", a llama model' in text
    assert "--adapter" in text


def test_a_model_named_as_the_adapter_is_refused(home: Path, tmp_path: Path) -> None:
    model = gguf(tmp_path / "m.gguf", **MODEL)
    assert "is a model, not an adapter" in refused(home, model, model)


def test_an_adapter_for_another_architecture_is_told_both(home: Path, tmp_path: Path) -> None:
    model = gguf(tmp_path / "m.gguf", "qwen3")
    text = refused(home, model, lora(tmp_path / "one.gguf"))
    assert '"tiny base", a llama model' in text
    assert "qwen3" in text


def test_a_control_vector_is_no_lora(home: Path, tmp_path: Path) -> None:
    model = gguf(tmp_path / "m.gguf")
    other = gguf(tmp_path / "v.gguf", **ADAPTER | {"adapter.type": "vector"})
    assert 'of the type "vector"' in refused(home, model, other)


def test_a_peft_folder_beside_a_gguf_file_is_told_how_to_become_one(
    home: Path, tmp_path: Path
) -> None:
    text = refused(home, gguf(tmp_path / "m.gguf"), peft(tmp_path / "a"))
    assert "--to gguf:lora" in text


def test_a_model_folder_takes_peft_folders_alone(home: Path, tmp_path: Path) -> None:
    folder, one, two = model_folder(tmp_path / "m"), peft(tmp_path / "a"), peft(tmp_path / "b")
    target = resolve(home, str(folder), [str(one), str(two), str(one)])
    assert (target.adapter, target.adapters) == (str(one), (str(two),))
    assert "goes beside a GGUF file" in refused(home, folder, lora(tmp_path / "one.gguf"))
    assert "goes beside an ONNX folder" in refused(home, folder, tmp_path / "x.onnx_adapter")
    assert "holds no adapter_config.json" in refused(home, folder, tmp_path)


def test_runs_of_one_base_are_adapters_of_it(home: Path, tmp_path: Path) -> None:
    base = model_folder(tmp_path / "base").resolve()
    one, two = (finished_run(home, base, name) for name in ("one", "two"))
    other = finished_run(home, model_folder(tmp_path / "other"), "else")
    for word in (str(base), f"{one.id}@base"):
        target = resolve(home, word, ["one", two.id])
        assert target.model == str(base)
        assert target.adapter == str(one.directory / "adapter")
        assert target.adapters == (str(two.directory / "adapter"),)
        assert choose_adapter(target.adapters, two.id) == target.adapters[0]
    assert "was trained on" in refused(home, base, other.id)
    assert "adapter of its own" in refused(home, Path(one.id), "two")
    assert "no run is called so" in refused(home, base, "three")


def finished_run(home: Path, base: Path, name: str) -> Run:
    values = {"name": name, "model": {"name_or_path": str(base)}, "data": {"path": "d.jsonl"}}
    run = create_run(home, config_io.from_values(values))
    run.use_base(base)
    peft(run.directory / "adapter")
    (run.directory / "adapter" / "manifest.json").write_text("{}")
    return run


def test_an_onnx_folder_takes_its_adapters_by_name_or_path(home: Path, tmp_path: Path) -> None:
    folder = onnx(tmp_path / "o", "travel", "cooking")
    (folder / "config.json").write_text("{}")  # some builders copy it
    target = resolve(home, str(folder), ["travel", str(folder / "adapters/cooking.onnx_adapter")])
    assert target.kind == "onnx"
    assert target.adapter == str(folder / "adapters" / "travel.onnx_adapter")
    assert target.adapters == (str(folder / "adapters" / "cooking.onnx_adapter"),)
    assert refused(home, folder, "cars").endswith('o": cooking, travel.')
    assert "is no .onnx_adapter file" in refused(home, folder, peft(tmp_path / "a"))
    assert "onnx:multi-int4" in refused(home, onnx(tmp_path / "bare"), "cars")


def test_an_adapter_among_those_of_an_onnx_folder_names_the_folder_too(
    home: Path, tmp_path: Path
) -> None:
    folder = onnx(tmp_path / "o", "travel", "cooking")
    path = folder / "adapters" / "travel.onnx_adapter"
    target = resolve(home, str(path))
    assert (target.kind, target.model, target.adapter) == ("onnx", str(folder), str(path))
    assert target.label == "o + travel"


def test_what_is_no_gguf_file_is_said_to_be_none(home: Path, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"PK\x03\x04 a zip")
    assert "is not a GGUF file" in refused(home, tmp_path / "m.gguf")
    whole = gguf(tmp_path / "whole.gguf", **MODEL).read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[:60])
    assert "header" in refused(home, tmp_path / "cut.gguf")
    endless = whole[:24] + struct.pack("<Q1sIIQ", 1, b"k", 9, 4, 2**62)  # an array of numbers
    (tmp_path / "endless.gguf").write_bytes(endless)
    assert "header" in refused(home, tmp_path / "endless.gguf")
    assert "There is no file" in refused(home, tmp_path / "none.gguf")


def test_adapters_are_chosen_by_name_or_path() -> None:
    paths = ["/a/one.gguf", "/b/two", "/c/three.onnx_adapter"]
    assert choose_adapter(paths, "one") == "/a/one.gguf"
    with pytest.raises(AfinaError) as unnamed:
        choose_adapter(paths, "")
    assert str(unnamed.value).startswith("No adapter is named.")
    assert unnamed.value.hint.startswith("There are: ")
    assert choose_adapter(paths, "/b/two") == "/b/two"
    assert choose_adapter(paths, "three") == "/c/three.onnx_adapter"
    with pytest.raises(AfinaError, match='Did you mean "three"') as error:
        choose_adapter(paths, "thre")
    assert "one, three, two" in error.value.hint


def test_a_folder_whose_path_holds_the_sign_of_a_point_is_named_by_it(tmp_path: Path) -> None:
    folder = tmp_path / "of@mine" / "run"
    folder.mkdir(parents=True)
    assert split_point(str(folder)) == (str(folder), "")
    assert split_point(f"{folder}@best") == (str(folder), "best")
    assert split_point("travel@12") == ("travel", "12")
    assert split_point("travel") == ("travel", "")


def test_a_run_in_such_a_folder_answers_and_tells_its_revision(tmp_path: Path) -> None:
    home = tmp_path / "me@box"
    config = config_io.parse("", ["model.name_or_path=some/model", "model.revision=v2"])
    run = create_run(home, msgspec.structs.replace(config, data=Data(path="rows.jsonl")))
    run.write_state(State("stopped"))
    target = resolve(home, f"{run.directory}@base")
    assert (target.model, target.revision) == ("some/model", "v2")
    snapshot = tmp_path / "models--some--model" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    run.use_base(snapshot)  # as its worker records it
    target = resolve(home, f"{run.directory}@base")
    assert (target.model, target.revision) == (str(snapshot), None)
    snapshot.rmdir()  # the cache was cleaned: the same commit is to be fetched again
    target = resolve(home, f"{run.directory}@base")
    assert (target.model, target.revision) == ("some/model", "abc")
