"""Adapters beside a shared base: the arithmetic, what is refused, and what a second run leaves."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from core.chat.backend import open_backend
from core.chat.onnx import OnnxGenai
from core.chat.protocol import Load
from core.errors import AfinaError
from core.model_files.onnx import BUILDING, about
from core.runs.target import Target, resolve
from exporters.contract import Working
from exporters.files import mend
from exporters.onnx import adapters
from exporters.onnx.adapters import write_adapter
from exporters.onnx.config import Companion
from exporters.onnx.exporter import Onnx
from exporters.onnx.shared_base import Multi
from exporters.onnx.shared_graph import base_of, ensure_base
from exporters.results import failed_path
from exporters.weights.adapter import Adapter
from tests.exporters import models
from tests.exporters.onnx.conftest import working

IDS = [1, 40, 41, 300, 43, 7, 45, 46, 2, 3, 99]


def logits(folder: Path, *adapters: Path, which: bool | str = True) -> np.ndarray:
    """(tokens, vocabulary) of IDS."""
    opened = load(folder, *adapters)
    opened.use_adapter(which)
    return opened.logits(IDS, 1, lambda: False)[:-1]


def load(folder: Path, *adapters: Path) -> OnnxGenai:
    paths = [str(path) for path in adapters]
    target = Target("t", "onnx", str(folder), *paths[:1], adapters=tuple(paths[1:]))
    opened = open_backend(Load(target=target, threads=1))
    assert isinstance(opened, OnnxGenai)
    return opened


def theirs(base: Path, adapter: Path | None) -> np.ndarray:
    """transformers' logits of IDS, the adapter laid over the base."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, str(adapter))
    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor([IDS])).logits[0, :-1].numpy()


def log_p(values: np.ndarray) -> np.ndarray:
    values = values - values.max(-1, keepdims=True)
    return values - np.log(np.exp(values).sum(-1, keepdims=True))


def far(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference of log p."""
    return float(np.abs(log_p(one) - log_p(other)).max())


def target_of(base: Path, adapter: Path, label: str = "base + adapter") -> Target:
    return Target(str(base), "hf", str(base), adapter=str(adapter), label=label)


def export(
    target: Target, exports: Path, type_name: str, built: dict[str, Path], scratch: Path
) -> tuple[Path, list[str]]:
    """Exports by copying the base that was built; returns the adapter's place and what was built"""
    made: list[str] = []

    def copy(model: Companion, bare: str, folder: Path, lent: Working) -> None:
        made.append(bare)
        shutil.copytree(built[bare], folder)

    multi = Multi(target, Onnx(target).model)
    path = Path(multi.item(type_name, exports).path)
    part = path.with_name(f"{path.name}.part")
    multi.write(type_name, part, copy, working(scratch))
    part.rename(path)
    return path, made


@pytest.fixture(scope="module")
def second(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another rank, rsLoRA, own ranks and scales for some layers, fewer layers, and the head."""
    folder = tmp_path_factory.mktemp("second")
    models.make_adapter(
        folder,
        base,
        seed=5,
        r=4,
        use_rslora=True,
        rank_pattern={"k_proj": 2},
        alpha_pattern={"down_proj": 3},
        target_modules=["k_proj", "v_proj", "down_proj", "lm_head"],
    )
    return folder


@pytest.fixture(scope="module")
def exported(
    base: Path,
    adapter: Path,
    second: Path,
    built: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Path]:
    """Two adapters beside one fp32 base."""
    home = tmp_path_factory.mktemp("home")
    paths = []
    for peft, label in ((adapter, "one"), (second, "two")):
        exports = home / "exports" / label
        target = target_of(base, peft, label)
        path, made = export(target, exports, "multi-fp32", built, home / "scratch")
        assert made == ([] if paths else ["fp32"])
        paths.append(path)
    assert base_of(paths[0]) == base_of(paths[1])
    return paths


def test_each_adapter_over_the_fp32_base_answers_as_peft_does_and_none_as_the_base(
    base: Path, adapter: Path, second: Path, exported: list[Path]
) -> None:
    opened = load(base_of(exported[0]), *exported)
    ways = {True: adapter, str(exported[1]): second, False: None, str(exported[0]): adapter}
    for which, peft in ways.items():
        opened.use_adapter(which)
        found = opened.logits(IDS, 1, lambda: False)[:-1]
        assert far(found, theirs(base, peft)) < 1e-4
    assert (
        far(theirs(base, adapter), theirs(base, None))
        > 0.1
        < far(theirs(base, adapter), theirs(base, second))
    )


def test_layers_that_the_graph_has_apart_get_their_rows_of_a_joined_one(
    phi3: Path, built: dict[str, Path], tmp_path: Path
) -> None:
    models.make_adapter(tmp_path / "adapter", phi3, seed=3)
    target = target_of(phi3, tmp_path / "adapter")
    path, _ = export(target, tmp_path, "multi-fp32", {"fp32": built["phi3"]}, tmp_path / "s")
    there = about(base_of(path))
    assert there is not None
    assert {site.name for site in there.sites if "layers.0" in site.name} >= {
        "layers.0.mlp.gate_proj",
        "layers.0.mlp.up_proj",
    }
    assert far(logits(base_of(path), path), theirs(phi3, tmp_path / "adapter")) < 1e-4


def test_over_an_int4_base_an_adapter_keeps_its_effect_and_none_leaves_the_base_as_it_was(
    base: Path, adapter: Path, built: dict[str, Path], tmp_path: Path
) -> None:
    path, _ = export(target_of(base, adapter), tmp_path, "multi-int4", built, tmp_path / "s")
    opened = load(base_of(path), path)
    tuned = opened.logits(IDS, 1, lambda: False)[:-1]
    opened.use_adapter(False)
    plain = opened.logits(IDS, 1, lambda: False)[:-1]
    np.testing.assert_array_equal(plain, logits(built["int4"]))
    wanted = log_p(theirs(base, adapter)) - log_p(theirs(base, None))
    found = log_p(tuned) - log_p(plain)
    assert np.corrcoef(wanted.ravel(), found.ravel())[0, 1] > 0.9


def test_an_adapter_that_failed_its_check_keeps_its_ending_and_can_be_asked(
    exported: list[Path], tmp_path: Path
) -> None:
    failed = failed_path(tmp_path / exported[0].name)
    assert failed.name == f"{exported[0].stem}.failed.onnx_adapter"
    shutil.copyfile(exported[0], failed)
    folder = base_of(exported[0])
    assert resolve(tmp_path, str(folder), str(failed)).adapter == str(failed)


def test_a_person_finds_the_adapter_by_its_name(exported: list[Path]) -> None:
    folder = base_of(exported[0])
    target = resolve(folder.parent, str(folder), [path.stem for path in exported])
    assert [target.adapter, *target.adapters] == [str(path) for path in exported]


def test_a_second_run_adds_its_file_and_leaves_the_base_untouched(
    base: Path, adapter: Path, second: Path, built: dict[str, Path], tmp_path: Path
) -> None:
    first, made = export(
        target_of(base, adapter, "one"), tmp_path, "multi-fp32", built, tmp_path / "s"
    )
    assert made == ["fp32"]
    before = {p: p.stat().st_mtime_ns for p in base_of(first).rglob("*") if p.is_file()}
    other, made = export(
        target_of(base, second, "two"), tmp_path, "multi-fp32", built, tmp_path / "s"
    )
    assert made == []
    after = {p: p.stat().st_mtime_ns for p in base_of(first).rglob("*") if p.is_file()}
    assert after.keys() - before.keys() == {other}
    assert {path: after[path] for path in before} == before


def test_another_base_of_the_same_name_gets_a_folder_of_its_own(
    base: Path, adapter: Path, exported: list[Path], tmp_path: Path
) -> None:
    other = tmp_path / base.name
    shutil.copytree(base, other)
    (other / "generation_config.json").write_text('{"eos_token_id": 2, "temperature": 0.5}')
    exports = base_of(exported[0]).parents[2] / "three"
    target = target_of(other, adapter)
    place = Path(Multi(target, Onnx(target).model).item("multi-fp32", exports).path)
    assert base_of(place).name.startswith(f"{base_of(exported[0]).name}-")
    assert base_of(place).parent == base_of(exported[0]).parent


def test_a_build_that_ended_early_leaves_nothing_under_the_bases_name_and_is_done_anew(
    base: Path, adapter: Path, built: dict[str, Path], tmp_path: Path
) -> None:
    target = target_of(base, adapter)
    multi = Multi(target, Onnx(target).model)
    path = Path(multi.item("multi-fp32", tmp_path).path)
    folder = base_of(path)

    def fail(model: Companion, bare: str, made: Path, lent: Working) -> None:
        assert made == folder.with_name(f"{folder.name}{BUILDING}")
        made.mkdir()
        mend(tmp_path)  # as a job does that exports the base itself
        assert made.is_dir()
        (made / "model.onnx").write_bytes(b"half")
        raise AfinaError("The disk is full.")

    path.parent.mkdir(parents=True)  # as the job does
    with pytest.raises(AfinaError, match="disk is full"):
        multi.write("multi-fp32", path, fail, working(tmp_path / "s"))
    assert not folder.exists()
    left = folder.with_name(f"{folder.name}{BUILDING}")
    left.mkdir()  # as a killed process leaves it
    (left / "model.onnx").write_bytes(b"half")
    (folder / "adapters").mkdir(parents=True)
    (folder / "adapters" / "earlier.onnx_adapter").write_bytes(b"kept")
    export(target, tmp_path, "multi-fp32", built, tmp_path / "s")
    assert not left.exists()
    assert about(folder) is not None
    assert (folder / "adapters" / "earlier.onnx_adapter").read_bytes() == b"kept"
    assert far(logits(folder, path), theirs(base, adapter)) < 1e-4


def test_a_folder_with_something_else_in_it_is_refused_and_left_as_it_is(
    tmp_path: Path, base: Path
) -> None:
    folder = tmp_path / "tiny-multi-int4"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    target = Target("b", "hf", str(base))

    def build(part: Path) -> None:
        raise AssertionError("it must be refused before anything is built")

    with pytest.raises(AfinaError, match='holds "thesis.txt"'):
        ensure_base(folder, target, "int4", build, {}, lambda: None)
    assert (folder / "thesis.txt").read_text() == "mine"


def test_a_base_that_another_model_took_the_place_of_since_the_plan_is_refused(
    base: Path, exported: list[Path]
) -> None:
    folder = base_of(exported[0])
    before = (folder / "afina.json").read_bytes()
    there = about(folder)
    assert there is not None
    other = msgspec.structs.replace(there, base_files={"config.json": "another"})
    (folder / "afina.json").write_bytes(msgspec.json.encode(other))
    try:
        with pytest.raises(AfinaError, match="holds another base model since"):
            ensure_base(
                folder, Target("b", "hf", str(base)), "fp32", lambda _: None, {}, lambda: None
            )
    finally:
        (folder / "afina.json").write_bytes(before)


def test_an_adapter_over_another_output_matrix_is_refused_before_a_base_is_built(
    base: Path, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "adapter"
    models.make_adapter(folder, base, target_modules=["lm_head"])
    tensors = load_file(folder / "adapter_model.safetensors")
    head = load_file(base / "model.safetensors")
    rows = head.get("lm_head.weight", head["model.embed_tokens.weight"]).astype(np.float32)
    tensors["base_model.model.lm_head.base_layer.weight"] = rows + 1
    save_file(tensors, folder / "adapter_model.safetensors")
    target = target_of(base, folder)
    multi = Multi(target, Onnx(target).model)
    path = Path(multi.item("multi-fp32", tmp_path).path)
    with pytest.raises(AfinaError, match='holds another "lm_head.weight" than its base'):
        multi.write("multi-fp32", path, lambda *_: pytest.fail("built"), working(tmp_path / "s"))


def test_a_cancel_is_heard_while_another_export_builds_the_same_base(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    target = target_of(base, adapter)
    multi = Multi(target, Onnx(target).model)
    path = Path(multi.item("multi-fp32", tmp_path).path)
    folder = base_of(path)
    folder.parent.mkdir(parents=True)

    def ended() -> None:
        raise KeyboardInterrupt

    with open(folder.with_name(f".{folder.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lent = working(tmp_path / "s")._replace(check=ended)
        with pytest.raises(KeyboardInterrupt):
            multi.write("multi-fp32", path, lambda *_: pytest.fail("built twice"), lent)


def test_the_item_counts_the_base_only_where_it_isnt_there(
    base: Path, adapter: Path, exported: list[Path], tmp_path: Path
) -> None:
    target = target_of(base, adapter)
    multi = Multi(target, Onnx(target).model)
    alone = multi.item("multi-fp32", base_of(exported[0]).parents[2] / "one")
    both = multi.item("multi-fp32", tmp_path)
    assert alone.bytes >= exported[0].stat().st_size
    assert both.bytes > 4 * 512 * 256 * 2 + alone.bytes


def test_other_programs_that_are_given_an_adapters_own_template_read_what_was_trained(
    base: Path, adapter: Path, exported: list[Path], built: dict[str, Path], tmp_path: Path
) -> None:
    own = tmp_path / "own.jinja"
    own.write_text("{% for m in messages %}\n[{{ m.role }}] {{ m.content }}\n{% endfor %}\n> ")
    target = msgspec.structs.replace(target_of(base, adapter), chat_template=str(own))
    path, _ = export(target, tmp_path, "multi-fp32", built, tmp_path / "s")
    conversation = {"messages": [{"role": "user", "content": "Where to?"}]}
    for trained, there in ((target, path), (target_of(base, adapter), exported[0])):
        exporter = Onnx(trained)
        seen = exporter.seen("multi-fp32", there, ["a b"], [conversation], lambda: None)
        model = exporter.model
        text = model.template.render(conversation["messages"], None, True).text
        assert seen is not None and seen.prompts == [model.tokenizer.encode(text).ids]
    notes = Onnx(target).item("multi-fp32", tmp_path).notes
    assert any(f"{path.stem}.jinja" in note for note in notes)


def test_an_adapter_that_is_too_large_for_its_file_is_refused_with_both_sizes(
    adapter: Path, exported: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapters, "LARGEST_BYTES", 2**17)
    base = about(base_of(exported[0]))
    assert base is not None
    with pytest.raises(AfinaError, match=r"takes \d+.\d KiB, and .* holds 128.0 KiB"):
        write_adapter(Adapter(adapter), base, tmp_path / "a")
    assert not (tmp_path / "a").exists()
