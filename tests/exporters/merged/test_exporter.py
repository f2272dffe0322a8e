"""The merged folder: transformers loads it, it answers as the tuned model, and says what is so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from core.config import Config, Method, config_io
from core.data.encode.template import ChatTemplate, template_text
from core.data.encode.tokenizer import Tokenizer
from core.errors import AfinaError
from core.runs.target import Target
from exporters.contract import Seen, Working, exporter_class
from exporters.merged import readback
from exporters.merged.exporter import MergedModel
from exporters.weights.safetensors_reader import SINGLE, open_weights
from exporters.weights.safetensors_writer import write_model_folder
from tests.exporters import models

SMALL: Any = {"hidden_size": 64, "intermediate_size": 96, "vocab_size": 500}
QUESTIONS = [
    {"messages": [{"role": "user", "content": "Where to?"}]},
    {
        "messages": [
            {"role": "system", "content": "Be terse. <|im_end|>"},
            {"role": "user", "content": " 你好 🙂 "},
            {"role": "assistant", "content": "The sea."},
            {"role": "user", "content": "\n\n"},
        ]
    },
]


def working(scratch: Path, check: Callable[[], None] = lambda: None) -> Working:
    return Working(lambda *said: None, check, scratch, 1)


def read(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / name).read_text())


def read_here(folder: Path, texts: list[str], conversations: list[Any]) -> Seen:
    """What `seen` asks another process, asked in this one."""
    found: list[Seen] = []

    def send(values: Any) -> None:
        found.append(msgspec.convert(values, Seen))

    readback.read(send, str(folder), texts, conversations)
    return found[0]


def logits(model: Any, ids: list[int]) -> np.ndarray:
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0].float().numpy()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("merged") / "base"
    models.make_model(folder, **SMALL)
    return folder


@pytest.fixture(scope="module")
def lora(small: Path) -> Path:
    models.make_adapter(small.parent / "lora", small)
    return small.parent / "lora"


@pytest.fixture(scope="module")
def target(small: Path, lora: Path) -> Target:
    return Target(str(small), "hf", str(small), adapter=str(lora), label="small + lora")


@pytest.fixture(scope="module")
def written(target: Target, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("written")
    outputs = {name: folder / f"{name}.part" for name in MergedModel.CHOICES}
    MergedModel(target).write(outputs, working(folder))
    return outputs


def test_the_class_is_found_by_its_kind() -> None:
    assert exporter_class("merged") is MergedModel
    assert list(MergedModel.CHOICES)[0] == "bf16"


@pytest.mark.parametrize(("name", "bound"), [("f32", 2e-5), ("f16", 0.01), ("bf16", 0.06)])
def test_the_folder_answers_as_base_and_adapter_do(
    small: Path, lora: Path, written: dict[str, Path], name: str, bound: float
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(small, dtype=torch.float32)
    tuned = PeftModel.from_pretrained(base, lora).eval()
    found = AutoModelForCausalLM.from_pretrained(written[name])
    assert found.dtype == {"f32": torch.float32, "f16": torch.float16}.get(name, torch.bfloat16)
    ids = list(range(5, 40))
    merged = AutoModelForCausalLM.from_pretrained(written[name], dtype=torch.float32)
    expected, there = logits(tuned, ids), logits(merged.eval(), ids)
    assert np.abs(expected - there).max() < bound * np.abs(expected).max()
    untuned = AutoModelForCausalLM.from_pretrained(small, dtype=torch.float32)
    assert np.abs(expected - logits(untuned, ids)).max() > 0.1 * np.abs(expected).max()


def test_other_programs_read_what_training_saw(target: Target, written: dict[str, Path]) -> None:
    from exporters.parity.snippets import hostile_snippets

    tokenizer = Tokenizer.load(target.model)
    template = ChatTemplate.load(target.model)
    texts = hostile_snippets(list(tokenizer.specials))
    seen = MergedModel(target).seen("bf16", written["bf16"], texts, QUESTIONS, lambda: None)
    assert seen is not None
    assert seen.ids == [tokenizer.encode(text).ids for text in texts]
    assert seen.prompts == [
        tokenizer.encode(template.render(q["messages"], None, True).text).ids for q in QUESTIONS
    ]
    assert seen.stop_ids == sorted(tokenizer.stop_ids)


def test_what_answers_is_the_folder_itself(target: Target, written: dict[str, Path]) -> None:
    found = MergedModel(target).answering("bf16", written["bf16"], working(written["bf16"]))
    assert (found.kind, found.model) == ("hf", str(written["bf16"]))
    assert found.adapter is None and found.chat_template is None


def test_the_estimate_is_what_it_takes(target: Target, written: dict[str, Path]) -> None:
    for name, folder in written.items():
        item = MergedModel(target).item(name, Path("exports"))
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        assert abs(item.bytes - size) < 1000
        assert item.path == f"exports/merged/small-lora-{name}"
        assert (not item.notes) == (name == "f32")


def test_the_original_template_and_tokenizer_are_kept_byte_by_byte(
    small: Path, written: dict[str, Path]
) -> None:
    for name in ("tokenizer.json", "chat_template.jinja", "generation_config.json"):
        assert (written["bf16"] / name).read_bytes() == (small / name).read_bytes()


def test_a_template_of_the_run_takes_the_place_of_every_other(
    small: Path, lora: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(small, base)
    settings = read(base, "tokenizer_config.json") | {"chat_template": "{{ 'inside' }}"}
    (base / "tokenizer_config.json").write_text(json.dumps(settings))
    (base / "additional_chat_templates").mkdir()
    (base / "additional_chat_templates" / "tool_use.jinja").write_text("{{ 'tools' }}")
    target = Target("x", "hf", str(base), adapter=str(lora), chat_template="chatml", label="x")
    exporter = MergedModel(target)
    exporter.write({"bf16": tmp_path / "out"}, working(tmp_path))
    found = ChatTemplate.load(tmp_path / "out")
    assert found.sources == {"default": template_text("chatml")}
    assert "chat_template" not in read(tmp_path / "out", "tokenizer_config.json")
    own = MergedModel(Target("x", "hf", str(base), adapter=str(lora), label="x"))
    own.write({"bf16": tmp_path / "own"}, working(tmp_path))
    assert ChatTemplate.load(tmp_path / "own").sources == ChatTemplate.load(base).sources
    assert "tool_use" in ChatTemplate.load(tmp_path / "own").sources


def test_settings_say_what_is_true_and_nothing_of_this_machine_or_of_code(
    small: Path, lora: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(small, base)
    odd = {
        "_name_or_path": str(base),
        "auto_map": {"AutoModelForCausalLM": "modeling.Own"},
        "torch_dtype": "float32",
        "inner": {"dtype": "float32", "_name_or_path": str(base)},
    }
    (base / "config.json").write_text(json.dumps(read(base, "config.json") | odd))
    (base / "modeling.py").write_text("raise SystemExit")
    settings = read(base, "tokenizer_config.json") | {"name_or_path": str(base)}
    (base / "tokenizer_config.json").write_text(json.dumps(settings))
    (base / "LICENSE").write_text("MIT License")
    target = Target("x", "hf", str(base), adapter=str(lora), label="x")
    MergedModel(target).write({"f16": tmp_path / "out"}, working(tmp_path))
    config = read(tmp_path / "out", "config.json")
    assert config["dtype"] == config["inner"]["dtype"] == "float16"
    assert config["tie_word_embeddings"] is False and config["vocab_size"] == 500
    assert not {"torch_dtype", "auto_map", "_name_or_path"} & config.keys()
    assert not any(path.suffix == ".py" for path in (tmp_path / "out").iterdir())
    for path in (tmp_path / "out").glob("*.json"):
        assert str(tmp_path) not in path.read_text()
    assert (tmp_path / "out" / "LICENSE").read_text() == "MIT License"


def test_embeddings_that_the_adapter_unties_are_saved_and_loaded_as_two(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    models.make_model(tmp_path / "tied", tie_word_embeddings=True, **SMALL)
    models.make_adapter(tmp_path / "a", tmp_path / "tied", target_modules=["embed_tokens"])
    whole = Target("x", "hf", str(tmp_path / "tied"), label="x")
    untied = Target("x", "hf", str(tmp_path / "tied"), adapter=str(tmp_path / "a"), label="x")
    MergedModel(whole).write({"f32": tmp_path / "whole"}, working(tmp_path))
    assert read(tmp_path / "whole", "config.json")["tie_word_embeddings"] is True
    exporter = MergedModel(untied)
    assert any("saved as two" in note for note in exporter.notes)
    exporter.write({"f32": tmp_path / "two"}, working(tmp_path))
    assert read(tmp_path / "two", "config.json")["tie_word_embeddings"] is False
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "two")
    state = {name: weight.numpy() for name, weight in model.state_dict().items()}
    expected = dict(exporter.merged.tensors())
    assert np.array_equal(state["lm_head.weight"], expected["lm_head.weight"])
    assert not np.array_equal(state["lm_head.weight"], state["model.embed_tokens.weight"])


def test_a_whole_tuned_model_keeps_its_bytes_in_its_own_type(tmp_path: Path) -> None:
    models.make_model(tmp_path / "full", dtype="bfloat16", **SMALL)
    target = Target("x", "hf", str(tmp_path / "full"), label="x")
    exporter = MergedModel(target)
    assert exporter.item("bf16", tmp_path).notes == []
    assert "stored as BF16" in exporter.item("f16", tmp_path).notes[0]
    exporter.write({"bf16": tmp_path / "out"}, working(tmp_path))
    before, after = open_weights(tmp_path / "full"), open_weights(tmp_path / "out")
    assert before.entries.keys() == after.entries.keys()
    for name, entry in before.entries.items():
        there = after.entries[name]
        one = entry.path.read_bytes()[entry.start : entry.stop]
        assert there.path.read_bytes()[there.start : there.stop] == one


def test_the_same_target_gives_the_same_bytes_and_a_cancel_ends_the_writing(
    target: Target, written: dict[str, Path], tmp_path: Path
) -> None:
    MergedModel(target).write({"bf16": tmp_path / "again"}, working(tmp_path))
    names = sorted(path.name for path in written["bf16"].iterdir())
    assert names == sorted(path.name for path in (tmp_path / "again").iterdir())
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (written["bf16"] / name).read_bytes()

    def cancelled() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        MergedModel(target).write({"bf16": tmp_path / "not"}, working(tmp_path, cancelled))


def test_an_adapter_of_a_quantized_run_says_what_it_is_merged_into(
    small: Path, lora: Path, tmp_path: Path
) -> None:
    config = Config(method=Method(quantization="nf4"))
    (tmp_path / "config.yaml").write_text(config_io.to_yaml(config))
    target = Target("r", "hf", str(small), adapter=str(lora), run=str(tmp_path), label="r")
    assert "learned over weights in nf4" in MergedModel(target).notes[0]


def test_what_holds_no_weights_is_refused(small: Path, tmp_path: Path) -> None:
    with pytest.raises(AfinaError, match="holds no weights to merge"):
        MergedModel(Target("a.gguf", "gguf", "a.gguf"))
    shutil.copytree(small, tmp_path / "part")
    tensors = load_file(small / SINGLE)
    tensors.pop("model.embed_tokens.weight")
    save_file(tensors, tmp_path / "part" / SINGLE)
    with pytest.raises(AfinaError, match='lack "model.embed_tokens.weight"'):
        MergedModel(Target("part", "hf", str(tmp_path / "part")))


def test_a_folder_that_transformers_can_not_open_is_told(target: Target, tmp_path: Path) -> None:
    write_model_folder(MergedModel(target).merged, tmp_path / "odd", "bf16")
    (tmp_path / "odd" / "chat_template.jinja").write_text("{{ raise_exception('no') }}")
    with pytest.raises(AfinaError, match="can't render the folder's chat template: no"):
        read_here(tmp_path / "odd", [], QUESTIONS)
    (tmp_path / "odd" / "config.json").write_text('{"model_type": "none-of-ours"}')
    with pytest.raises(AfinaError, match="transformers can't open the folder"):
        read_here(tmp_path / "odd", [], QUESTIONS)


def test_a_tokenizer_model_that_stands_alone_gets_the_tokenizer_json_that_training_read(
    tmp_path: Path,
) -> None:
    from tests.exporters import tokenizers_of

    tokenizer = tokenizers_of.train_sentencepiece("always")
    tokenizers_of.write_model(tmp_path / "base", tokenizer)
    (tmp_path / "base" / "tokenizer.json").unlink()
    tokenizers_of.write_sentencepiece(tmp_path / "base" / "tokenizer.model", tokenizer)
    exporter = MergedModel(Target("x", "hf", str(tmp_path / "base"), label="x"))
    exporter.write({"bf16": tmp_path / "out"}, working(tmp_path))
    own = Tokenizer.load(tmp_path / "base")
    seen = read_here(tmp_path / "out", tokenizers_of.TEXTS, QUESTIONS)
    assert seen.ids == [own.encode(text).ids for text in tokenizers_of.TEXTS]


def test_a_mixture_whose_experts_were_tuned_answers_as_base_and_adapter_do(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, MixtralConfig, MixtralForCausalLM

    torch.manual_seed(0)
    config = MixtralConfig(
        vocab_size=500,
        hidden_size=32,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_local_experts=3,
    )
    model = MixtralForCausalLM(config)
    models.make_tokenizer(tmp_path / "base")
    model.save_pretrained(tmp_path / "base")
    options = LoraConfig(target_modules="all-linear", r=3, init_lora_weights=False)
    tuned: Any = get_peft_model(model, options)
    tuned.save_pretrained(str(tmp_path / "lora"))
    target = Target("x", "hf", str(tmp_path / "base"), adapter=str(tmp_path / "lora"), label="x")
    MergedModel(target).write({"f32": tmp_path / "out"}, working(tmp_path))
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).eval()
    expected, there = logits(tuned.eval(), list(range(30))), logits(found, list(range(30)))
    np.testing.assert_allclose(there, expected, rtol=1e-4, atol=1e-5)
    untuned = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32).eval()
    assert np.abs(logits(untuned, list(range(30))) - expected).max() > 1e-3
