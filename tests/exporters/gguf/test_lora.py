"""A GGUF adapter over a GGUF base computes what PEFT computes; what it can't hold is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.chat.llamacpp import LlamaCpp
from core.chat.protocol import Load
from core.errors import AfinaError
from core.model_files.gguf import read_keys
from core.runs.target import Target, resolve
from exporters.contract import Working
from exporters.gguf.exporter import Gguf
from exporters.gguf.lora import base_of, prepare_lora, write_lora
from exporters.gguf.prepare import prepare
from exporters.gguf.write import write_gguf
from tests.exporters import models
from tests.exporters.families import make_model
from tests.exporters.gguf.test_families import MODELS

IDS = list(range(3, 250, 7))
BOUND = 1e-3  # of log p, with the key-value cache in f32 too
PLAIN: dict[str, Any] = {"target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "down_proj"]}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "patterns": {
        "rank_pattern": {"layers.0.self_attn.q_proj": 4},
        "alpha_pattern": {"k_proj": 40, "down_proj": 3},
    },
    "rslora with patterns": {
        "use_rslora": True,
        "rank_pattern": {"v_proj": 3},
        "alpha_pattern": {"o_proj": 7},
    },
    "embeddings": {"target_modules": ["q_proj", "embed_tokens", "lm_head"]},
}


@pytest.fixture(scope="module", params=["llama", "qwen3"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "llama":
        models.make_model(folder)
    else:
        make_model(folder, *MODELS["qwen3"])
    write_base(folder)
    return folder


def write_base(folder: Path) -> None:
    """The base in f32, as base.gguf beside its files."""
    base = prepare(Target("x", "hf", str(folder), label=folder.name))
    write_gguf(base, {"f32": folder / "base.gguf"}, lambda *values: None)


def write(model: Path, adapter: Path) -> Path:
    prepared = prepare(Target("x", "hf", str(model), str(adapter), label="tuned"))
    path = adapter / "x-lora.gguf"
    write_lora(prepare_lora(prepared), path, lambda *values: None)
    return path


@pytest.fixture(autouse=True)
def exact_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and values in f32: in f16 they alone cost 0.005 of log p."""
    import llama_cpp

    defaults = llama_cpp.llama_context_default_params

    def settings() -> Any:
        found = defaults()
        found.type_k = found.type_v = llama_cpp.GGML_TYPE_F32
        return found

    monkeypatch.setattr(llama_cpp, "llama_context_default_params", settings)


def by_llama_cpp(model: Path, adapter: Path | None = None) -> np.ndarray:
    """log p after each of IDS, (tokens, vocabulary), from base.gguf of a model."""
    base = str(model / "base.gguf")
    return answers(Target("x", "gguf", base, str(adapter) if adapter else None))


def answers(target: Target) -> np.ndarray:
    backend = LlamaCpp(Load(target=target, threads=1))
    try:
        logits = torch.tensor(backend.logits(IDS, 1, lambda: False))
    finally:
        backend.close()
    return torch.log_softmax(logits, dim=-1).numpy()


def by_peft(tuned: Any) -> np.ndarray:
    with torch.no_grad():
        logits = tuned(input_ids=torch.tensor([IDS])).logits[0]
    return torch.log_softmax(logits.float(), dim=-1).numpy()


def apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max())


@pytest.mark.parametrize("kind", KINDS)
def test_base_and_adapter_have_the_logits_of_peft(model: Path, tmp_path: Path, kind: str) -> None:
    tuned = models.make_adapter(tmp_path, model, **PLAIN | KINDS[kind])
    found = by_llama_cpp(model, write(model, tmp_path))
    assert apart(found, by_peft(tuned)) < BOUND
    assert apart(found, by_llama_cpp(model)) > 0.3


@pytest.mark.parametrize("name", [name for name in MODELS if name != "qwen3"])
def test_every_family_takes_its_adapter(tmp_path: Path, name: str) -> None:
    make_model(tmp_path / "m", *MODELS[name])
    write_base(tmp_path / "m")
    tuned = models.make_adapter(tmp_path / "a", tmp_path / "m", scale=0.03)
    found = by_llama_cpp(tmp_path / "m", write(tmp_path / "m", tmp_path / "a"))
    assert apart(found, by_peft(tuned)) < 5 * BOUND
    assert apart(found, by_llama_cpp(tmp_path / "m")) > 0.1


def test_a_wrong_scale_and_rows_in_the_wrong_order_show(model: Path, tmp_path: Path) -> None:
    import msgspec

    tuned = models.make_adapter(tmp_path, model, use_rslora=True, **PLAIN)
    prepared = prepare(Target("x", "hf", str(model), str(tmp_path), label="tuned"))
    lora = prepare_lora(prepared)
    wanted, path = by_peft(tuned), tmp_path / "wrong.gguf"
    assert lora.alpha == pytest.approx(16 * np.sqrt(8))
    wrong = [msgspec.structs.replace(lora, alpha=16.0)]  # as if it were no rsLoRA
    if prepared.family.permuted:
        family = msgspec.structs.replace(prepared.family, permuted=())
        wrong.append(
            msgspec.structs.replace(lora, prepared=msgspec.structs.replace(prepared, family=family))
        )
    for each in wrong:
        write_lora(each, path, lambda *values: None)
        assert apart(by_llama_cpp(model, path), wanted) > 100 * BOUND


def test_the_file_says_what_it_is_and_what_it_goes_with(
    home: Path, model: Path, tmp_path: Path
) -> None:
    models.make_adapter(tmp_path, model, **PLAIN)
    path = write(model, tmp_path)
    base = "general.base_model.0.name"
    assert read_keys(path, ("general.type", "adapter.type", "adapter.lora.alpha", base)) == {
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": 16.0,
        base: model.name,
    }
    target = resolve(home, str(model / "base.gguf"), str(path))
    assert target.adapter == str(path)
    with pytest.raises(AfinaError, match=f'it goes with "{model.name}"'):
        resolve(home, str(path))


def test_a_plan_foretells_the_size_and_names_the_base(model: Path, tmp_path: Path) -> None:
    models.make_adapter(tmp_path, model, **PLAIN)
    exporter = Gguf(Target("x", "hf", str(model), str(tmp_path), label="tuned"))
    item = exporter.item("lora", tmp_path)
    assert item.path == str(tmp_path / "gguf" / "tuned-lora.gguf")
    assert item.bytes == pytest.approx(write(model, tmp_path).stat().st_size, rel=0.05)
    assert f"`afina export {model} --to gguf:" in item.notes[0]
    assert item.temporary_bytes == exporter.item("f16", tmp_path).bytes


def test_the_gate_asks_a_base_of_its_own_under_the_adapter(model: Path, tmp_path: Path) -> None:
    tuned = models.make_adapter(tmp_path / "a", model, **PLAIN)
    exporter = Gguf(Target("x", "hf", str(model), str(tmp_path / "a"), label="tuned"))
    path, scratch = tmp_path / "x-lora.gguf.part", tmp_path / "scratch"
    scratch.mkdir()
    said: list[str] = []
    working = Working(lambda *values: said.append(values[0]), lambda: None, scratch, 1)
    assert exporter.seen("lora", path, [], [], lambda: None) is None  # nothing to read it with
    exporter.write({"lora": path, "f16": tmp_path / "x.gguf"}, working)
    target = exporter.answering("lora", path, working)
    assert (target.kind, target.adapter) == ("gguf", str(path))
    assert Path(target.model).parent == scratch
    written = Path(target.model).stat().st_mtime_ns
    assert exporter.answering("lora", path, working).model == target.model
    assert Path(target.model).stat().st_mtime_ns == written
    assert apart(answers(target), by_peft(tuned)) < 0.03
    seen = exporter.seen("lora", path, ["The sea"], [], lambda: None)
    assert seen is not None and len(seen.ids) == 1 and seen.ids[0]
    assert said


def test_the_base_is_the_model_without_its_adapter(model: Path, tmp_path: Path) -> None:
    models.make_adapter(tmp_path, model, **PLAIN)
    prepared = prepare(Target("x", "hf", str(model), str(tmp_path), label="tuned"))
    write_gguf(base_of(prepared), {"f32": tmp_path / "b.gguf"}, lambda *values: None)
    assert (tmp_path / "b.gguf").read_bytes() == (model / "base.gguf").read_bytes()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "dora": ({"use_dora": True}, "it is a DoRA"),
    "saved": ({"modules_to_save": ["lm_head"]}, r'replaces "lm_head.weight" \(trained as a whole'),
}


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tied")
    models.make_model(folder, tie_word_embeddings=True)
    return folder


@pytest.mark.parametrize(("options", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_an_adapter_file_can_not_hold_is_refused(
    model: Path, tmp_path: Path, options: dict[str, Any], reason: str
) -> None:
    models.make_adapter(tmp_path, model, **PLAIN | options)
    with pytest.raises(AfinaError, match=reason) as error:
        write(model, tmp_path)
    assert "Export the tuned model as a whole" in error.value.hint


@pytest.mark.parametrize("module", ["embed_tokens", "lm_head"])
def test_a_matrix_for_input_and_output_is_not_changed_on_one_side(
    tied: Path, tmp_path: Path, module: str
) -> None:
    models.make_adapter(tmp_path, tied, target_modules=[module])
    with pytest.raises(AfinaError, match="share one matrix"):
        write(tied, tmp_path)


def test_a_trained_bias_is_refused(tmp_path: Path) -> None:
    models.make_model(tmp_path / "m", attention_bias=True)
    models.make_adapter(tmp_path / "a", tmp_path / "m", bias="lora_only", **PLAIN)
    with pytest.raises(AfinaError, match="a trained bias"):
        write(tmp_path / "m", tmp_path / "a")


@pytest.mark.parametrize(("rows", "reason"), [(520, "has a resized"), (512, "has another")])
def test_other_embeddings_than_the_bases_are_refused(
    model: Path, tmp_path: Path, rows: int, reason: str
) -> None:
    from safetensors.torch import load_file, save_file

    models.make_adapter(tmp_path, model, **KINDS["embeddings"])
    weights = load_file(tmp_path / "adapter_model.safetensors")
    for module in ("model.embed_tokens", "lm_head"):
        key = f"base_model.model.{module}.base_layer.weight"
        assert key in weights  # PEFT keeps them, changed or not
        weights[key] = torch.randn(rows, weights[key].shape[1])
    save_file(weights, tmp_path / "adapter_model.safetensors")
    with pytest.raises(AfinaError, match=reason):
        write(model, tmp_path)


def test_an_ia3_and_a_whole_model_are_refused(model: Path, tmp_path: Path) -> None:
    from peft import IA3Config, get_peft_model
    from transformers import AutoModelForCausalLM

    tuned = AutoModelForCausalLM.from_pretrained(model)
    config = IA3Config(target_modules=["k_proj"], feedforward_modules=[], task_type="CAUSAL_LM")
    get_peft_model(tuned, config).save_pretrained(str(tmp_path))
    with pytest.raises(AfinaError, match="it is an IA3"):
        write(model, tmp_path)
    with pytest.raises(AfinaError, match="has no adapter"):
        prepare_lora(prepare(Target("x", "hf", str(model), label="x")))


def test_a_value_that_is_no_number_is_refused(model: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    models.make_adapter(tmp_path, model, **PLAIN)
    weights = load_file(tmp_path / "adapter_model.safetensors")
    next(iter(weights.values()))[0, 0] = float("nan")
    save_file(weights, tmp_path / "adapter_model.safetensors")
    with pytest.raises(AfinaError, match="not a number"):
        write(model, tmp_path)
