"""A GGUF file computes what the tuned model computes, in the size that was foretold.

Tolerances on log p over the whole vocabulary, from trials on ten families: f32 weights with
llama.cpp's f16 key-value cache 0.005, f16 weights 0.03, bf16 weights 0.04.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from gguf import GGUFReader

from core.chat.llamacpp import LlamaCpp
from core.chat.protocol import Load
from core.data.encode.template import ChatTemplate
from core.errors import AfinaError
from core.model_files.json_file import require_json
from core.runs.target import Target
from exporters.chat_template import portable
from exporters.gguf import stream
from exporters.gguf.families import family_of
from exporters.gguf.header import begin
from exporters.gguf.importance import Importance
from exporters.gguf.prepare import Prepared, prepare
from exporters.gguf.rope import read_rope
from exporters.gguf.types import TYPES, file_bytes
from exporters.gguf.write import close, write_gguf
from tests.exporters import models

IDS = list(range(3, 250, 7))
SMALL: dict[str, Any] = {"hidden_size": 128, "intermediate_size": 192}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "tied": {"tie_word_embeddings": True},
    "llama3 rope": {"rope_parameters": LLAMA3},
    "linear rope": {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}},
    "biases": {"attention_bias": True},
    "heads of their own size": {"head_dim": 32},
    "one key head": {"num_key_value_heads": 1},
}


def test_files_of_whole_numbers_have_the_tuned_models_logits(
    tuned: Target, base: Path, tmp_path: Path
) -> None:
    expected = log_p(tuned_model(tuned))
    files = {name: tmp_path / f"{name}.gguf" for name in ("f32", "f16", "bf16")}
    write_gguf(prepare(tuned), files, lambda *values: None)
    for name, bound in (("f32", 0.005), ("f16", 0.03), ("bf16", 0.04)):
        found = file_log_p(files[name])
        assert found.shape == expected.shape == (len(IDS), 512)
        assert np.abs(found - expected).max() < bound, name
    plain = prepare(Target("b", "hf", str(base), label="b"))
    write_gguf(plain, {"f32": tmp_path / "base.gguf"}, lambda *values: None)
    assert np.abs(file_log_p(tmp_path / "base.gguf") - expected).max() > 0.5


@pytest.mark.parametrize("name", OPTIONS)
def test_variants_of_the_family_have_the_same_logits(tmp_path: Path, name: str) -> None:
    model = models.make_model(tmp_path, **SMALL | OPTIONS[name])
    if name == "biases":
        with torch.no_grad():
            for parameter_name, parameter in model.named_parameters():
                if parameter_name.endswith("bias"):
                    parameter.normal_()
        model.save_pretrained(tmp_path)
    prepared = prepare(Target(name, "hf", str(tmp_path), label=name))
    write_gguf(prepared, {"f32": tmp_path / "x.gguf"}, lambda *values: None)
    assert np.abs(file_log_p(tmp_path / "x.gguf") - log_p(model)).max() < 0.005


def test_the_tolerance_would_see_rows_that_were_not_permuted(tmp_path: Path) -> None:
    model = models.make_model(tmp_path, **SMALL)
    prepared = prepare(Target("x", "hf", str(tmp_path), label="x"))
    write_wrongly(prepared, tmp_path / "x.gguf")
    assert np.abs(file_log_p(tmp_path / "x.gguf") - log_p(model)).max() > 0.1


@pytest.mark.parametrize("hidden", [256, 192])
def test_every_type_loads_and_has_the_size_that_was_foretold(tmp_path: Path, hidden: int) -> None:
    models.make_model(tmp_path, hidden_size=hidden, intermediate_size=512)
    prepared = prepare(Target("x", "hf", str(tmp_path), label="x"))
    files = {name: tmp_path / f"{name}.gguf" for name in TYPES}
    even = {t.name: np.ones(t.columns, np.float32) for t in prepared.tensors}
    write_gguf(prepared, files, lambda *values: None, Importance(even, False, 1, 1, "x"))
    expected = file_log_p(files["f16"])
    for name, path in files.items():
        reader = GGUFReader(path)
        foretold = prepared.kinds(TYPES[name])
        kinds = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
        assert kinds == foretold, name
        assert path.stat().st_size == file_bytes(foretold, prepared.shapes, reader.data_offset)
        few = TYPES[name].needs_importance or name in ("q2_k", "q3_k_m")
        assert kl(expected, file_log_p(path)) < (1.0 if few else 0.25), name


def test_progress_counts_bytes_and_a_cancel_ends_the_writing(tuned: Target, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int, str]] = []
    write_gguf(prepare(tuned), {"q8_0": tmp_path / "q.gguf"}, lambda *v: seen.append(v))
    done = [values[1] for values in seen]
    assert done == sorted(done) and done[-1] == seen[-1][2] and seen[-1][3] == "bytes"

    class Stop(Exception):
        pass

    def stop(name: str, done: int, total: int, unit: str) -> None:
        if done:
            raise Stop

    with pytest.raises(Stop):
        write_gguf(prepare(tuned), {"q4_k_m": tmp_path / "half.gguf"}, stop)


@pytest.mark.parametrize(
    ("value", "words"), [(float("nan"), "not a number"), (1e5, "and f16 ends at 65504")]
)
def test_a_value_that_can_not_be_written_stops_the_export(
    tmp_path: Path, value: float, words: str
) -> None:
    model = models.make_model(tmp_path, **SMALL)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 5] = value
    model.save_pretrained(tmp_path)
    prepared = prepare(Target("x", "hf", str(tmp_path), label="x"))
    with pytest.raises(AfinaError, match=f'"blk.1.ffn_up.weight" holds .*{words}'):
        write_gguf(prepared, {"f16": tmp_path / "x.gguf"}, lambda *values: None)


def test_a_name_that_llama_cpp_reacts_to_is_changed(base: Path) -> None:
    assert prepare(Target("x", "hf", str(base), label="My-Phi3 phi-3")).name == "My-Phi 3 phi 3"


@pytest.mark.parametrize(
    ("rope", "words"),
    [
        ({"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}, '"dynamic"'),
        ({"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}, "Only 16"),
    ],
)
def test_a_rotation_that_is_not_known_is_refused(
    base: Path, rope: dict[str, Any], words: str
) -> None:
    config = require_json(base / "config.json") | {"rope_parameters": rope}
    with pytest.raises(AfinaError, match=words):
        family_of(config)


def test_the_rotation_is_read_as_older_versions_wrote_it() -> None:
    old = {"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 4}}
    assert read_rope(old, 64).values() == {
        "rope.freq_base": 5e5,
        "rope.scaling.type": "linear",
        "rope.scaling.factor": 4.0,
    }


@pytest.mark.parametrize("left", ["", "-", "+"])
@pytest.mark.parametrize("right", ["", "-"])
def test_a_template_without_its_markers_renders_the_same(left: str, right: str) -> None:
    opening, closing = (f"{{%{left} {name} {right}%}}" for name in ("generation", "endgeneration"))
    source = (
        "{% for m in messages %}\n  <{{ m.role }}>\n"
        f"  {opening}\n    {{{{ m.content }}}}\n  {closing}\n</>\n{{% endfor %}}\n"
    )
    plain = portable(source, has_bos=True)
    assert "generation" not in plain
    messages = [{"role": "user", "content": " a "}, {"role": "assistant", "content": "\nb"}]
    texts = [ChatTemplate({"default": s}, {}).render(messages).text for s in (source, plain)]
    assert texts[0] == texts[1]


def tuned_model(target: Target) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    assert target.adapter is not None
    model = AutoModelForCausalLM.from_pretrained(target.model, dtype=torch.float32)
    return PeftModel.from_pretrained(model, target.adapter).eval()


def log_p(model: Any) -> np.ndarray:
    """log p after each of IDS, (tokens, vocabulary), by transformers."""
    with torch.no_grad():
        logits = model.eval()(input_ids=torch.tensor([IDS])).logits[0]
    return torch.log_softmax(logits.float(), dim=-1).numpy()


def file_log_p(path: Path) -> np.ndarray:
    """The same by llama.cpp."""
    backend = LlamaCpp(Load(target=Target("x", "gguf", str(path)), threads=1))
    try:
        logits = torch.tensor(backend.logits(IDS, 1, lambda: False))
    finally:
        backend.close()
    return torch.log_softmax(logits, dim=-1).numpy()


def kl(p: np.ndarray, q: np.ndarray) -> float:
    return float((np.exp(p) * (p - q)).sum(axis=-1).mean())


def write_wrongly(prepared: Prepared, path: Path) -> None:
    """With q and k as transformers has them."""
    import msgspec

    family = msgspec.structs.replace(prepared.family, permuted=())
    wrong = msgspec.structs.replace(prepared, family=family)
    write_gguf(wrong, {"f32": path}, lambda *values: None)


def test_shards_make_the_file_that_one_file_makes(tuned: Target, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = tmp_path / "sharded"
    shutil.copytree(tuned.model, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    model = AutoModelForCausalLM.from_pretrained(tuned.model, dtype=torch.float32)
    model.save_pretrained(folder, max_shard_size="1MB")
    assert len(list(folder.glob("*.safetensors"))) > 2
    sharded = Target("x", "hf", str(folder), adapter=tuned.adapter, label=tuned.label)
    for target, name in ((tuned, "one"), (sharded, "many")):
        write_gguf(prepare(target), {"q8_0": tmp_path / name}, lambda *values: None)
    one, many = (sorted_tensors(tmp_path / name) for name in ("one", "many"))
    assert one == many and len(one) > 20


def test_threads_and_other_types_change_no_byte(
    tuned: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BLOCK_VALUES", 256 * 64)
    prepared = prepare(tuned)
    assert len(list(stream.blocks(prepared))) > 2 * len(prepared.tensors)
    alone = {"q4_k_m": tmp_path / "alone"}
    write_gguf(prepared, alone, lambda *values: None, threads=1)
    several = {name: tmp_path / name for name in ("f16", "q4_k_m", "f32")}
    write_gguf(prepared, several, lambda *values: None, threads=3)
    assert (tmp_path / "q4_k_m").read_bytes() == (tmp_path / "alone").read_bytes()
    # blocks of another size round some sums in another way, by the last bit
    monkeypatch.setattr(stream, "BLOCK_VALUES", 1 << 22)
    write_gguf(prepared, {"f32": tmp_path / "whole"}, lambda *values: None)
    parts, whole = (sorted_tensors(tmp_path / name) for name in ("f32", "whole"))
    for name, data in parts.items():
        found, expected = (np.frombuffer(d, np.float32) for d in (data, whole[name]))
        assert np.abs(found - expected).max() < 1e-5, name


def test_places_beyond_four_gigabytes_are_right(base: Path, tmp_path: Path) -> None:
    prepared = prepare(Target("x", "hf", str(base), label="x"))
    large = [
        msgspec.structs.replace(tensor, shape=(2**20, 4096))
        for tensor in prepared.tensors
        if len(tensor.shape) == 2
    ]
    prepared = msgspec.structs.replace(prepared, tensors=large)
    kinds = prepared.kinds(TYPES["q8_0"])
    path = tmp_path / "x.gguf"
    close(begin(prepared, TYPES["q8_0"], path, kinds))
    size = file_bytes(kinds, prepared.shapes, path.stat().st_size)
    os.truncate(path, size + 4096)  # a hole, no bytes
    places = [int(tensor.data_offset) for tensor in GGUFReader(path).tensors]
    step = 2**20 * 4096 // 32 * 34
    assert np.diff(places).tolist() == [step] * (len(large) - 1)
    assert places[-1] > 2**35


def sorted_tensors(path: Path) -> dict[str, bytes]:
    return {tensor.name: tensor.data.tobytes() for tensor in GGUFReader(path).tensors}
