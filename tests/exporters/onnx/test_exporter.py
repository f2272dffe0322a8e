"""An exported ONNX folder is the tuned model, for onnxruntime-genai too."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from core.data.encode.template import ChatTemplate
from core.data.encode.tokenizer import Tokenizer
from core.errors import AfinaError
from core.runs.target import Target
from exporters.contract import Working
from exporters.onnx.config import Companion, finish, genai_config
from exporters.onnx.exporter import Onnx
from exporters.onnx.template import written_out
from exporters.parity.snippets import hostile_snippets
from exporters.weights.merge import Merged
from tests.exporters import tokenizers_of
from tests.exporters.onnx import built

# what transformers drops around tags, other programs leave in the text
LOOSE = """{# a note #}
{% for message in messages %}
    {% if message.role == 'assistant' %}
        {% generation %}{{ message.content }}<|im_end|>{% endgeneration %}

    {% else %}
<|im_start|>{{ message['role'] }}
  {{ message.content | trim }}<|im_end|>
    {% endif %}
{% endfor %}
{%+ if add_generation_prompt +%}
<|im_start|>assistant
{% endif %}
"""
CONVERSATIONS: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": " Where to?\n"}], "tools": None},
    {
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "A “sea”?"},
            {"role": "assistant", "content": "<|im_start|> warm"},
            {"role": "user", "content": "And 北?"},
        ],
        "tools": None,
    },
]


GENAI = {  # as the builder writes it for a small model
    "model": {
        "type": "llama",
        "vocab_size": 600,
        "decoder": {
            "filename": "model.onnx",
            "head_size": 16,
            "hidden_size": 32,
            "inputs": {"input_ids": "input_ids"},
            "outputs": {"logits": "logits"},
            "num_attention_heads": 2,
            "num_hidden_layers": 1,
            "num_key_value_heads": 1,
        },
    },
    "search": {},
}


class Made(msgspec.Struct):
    exporter: Onnx
    folders: dict[str, Path]
    scratch: Path
    progress: list[tuple[str, int, int, str]]


@pytest.fixture(scope="module")
def made(tuned: Target, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    (folder / "loose.jinja").write_text(LOOSE)
    exporter = Onnx(
        msgspec.structs.replace(tuned, chat_template=str(folder / "loose.jinja")),
    )
    said: list[tuple[str, int, int, str]] = []
    scratch = folder / "scratch"
    scratch.mkdir()
    working = Working(lambda *values: said.append(values), lambda: None, scratch, 1)
    folders = {name: folder / name for name in ("fp32", "int4")}
    exporter.write(folders, working)
    return Made(exporter, folders, scratch, said)


def test_an_export_has_the_logits_of_base_and_adapter(made: Made, tuned: Target) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    assert tuned.adapter is not None
    base = AutoModelForCausalLM.from_pretrained(tuned.model)
    expected = built.log_p(PeftModel.from_pretrained(base, tuned.adapter).eval())
    assert np.abs(built.folder_log_p(made.folders["fp32"]) - expected).max() < 1e-4


def test_a_folder_has_the_size_that_was_foretold(made: Made, tmp_path: Path) -> None:
    for name, folder in made.folders.items():
        size = sum(file.stat().st_size for file in folder.rglob("*"))
        item = made.exporter.item(name, tmp_path)
        assert item.bytes == pytest.approx(size, rel=0.05), name
        assert item.memory_bytes > 0


def test_a_folder_holds_what_it_needs_and_nothing_is_left_beside_it(made: Made) -> None:
    for folder in made.folders.values():
        assert {file.name for file in folder.iterdir()} == {
            "model.onnx",
            "model.onnx.data",
            "genai_config.json",
            "generation_config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "chat_template.jinja",
            "afina.json",
        }
    assert not list(made.scratch.iterdir())


def test_progress_counts_the_bytes_of_each_type(made: Made) -> None:
    for name in made.folders:
        done = [values[1] for values in made.progress if values[0].startswith(f"{name} ")]
        total = made.exporter.model.merged.parameters * 4
        assert done == sorted(done) and done[-1] == total


def test_other_programs_read_the_same_tokens_and_prompts(made: Made) -> None:
    tokenizer, template = made.exporter.model.tokenizer, made.exporter.model.template
    texts = hostile_snippets(list(tokenizer.specials))
    folder = made.folders["int4"]
    seen = made.exporter.seen("int4", folder, texts, CONVERSATIONS, lambda: None)
    assert seen is not None
    assert seen.ids == [found.ids for found in tokenizer.encode_many(texts)]
    rendered = [template.render(c["messages"], None, True).text for c in CONVERSATIONS]
    assert seen.prompts == [tokenizer.encode(text).ids for text in rendered]
    assert seen.stop_ids == [2]


def test_a_template_written_out_renders_the_same_with_both_settings_and_without() -> None:
    import jinja2

    chosen = random.Random(0)
    tags = ["{% if a %}", "{%- if a %}", "{% if a -%}", "{%+ if a %}", "{% if a +%}"]
    ends = ["{% endif %}", "{%- endif -%}", "{% endif +%}", "{%+ endif %}"]
    raws = ["{% raw %} {% z %}\n{% endraw %}", "{%- raw -%} {{ z }} {%- endraw +%}"]
    texts = ["", " ", "\n", "\n\n", "  \n  ", "\t", "x\n ", "{# c #}", "\n{# c #}\n", "'\\", *raws]
    texts += ["{{ b }}", "{{- b -}}"]
    for _ in range(500):
        pieces = ["".join(chosen.choices(texts, k=3)) for _ in range(3)]
        tag, end = chosen.choice(tags), chosen.choice(ends)
        source = f"{pieces[0]}{tag}{pieces[1]}{end}{pieces[2]}"
        found = written_out(source, has_bos=True)
        expected = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(source)
        for on in (True, False):
            other = jinja2.Environment(trim_blocks=on, lstrip_blocks=on).from_string(found)
            assert other.render(a=1, b="B") == expected.render(a=1, b="B"), source


def test_stop_tokens_context_and_sampling_are_those_of_the_model(base: Path) -> None:
    copy = base.parent / "other settings"
    shutil.copytree(base, copy)
    settings = {"eos_token_id": [0, 2], "temperature": 0.6, "do_sample": True, "top_k": 20}
    (copy / "generation_config.json").write_text(json.dumps(settings))
    exporter = Onnx(Target("x", "hf", str(copy), label="x"))
    whole = {"model": {"context_length": 1, "type": "llama"}, "search": {"top_p": 0.5}}
    found = genai_config(whole, exporter.model)
    model, search = found["model"], found["search"]
    assert model["eos_token_id"] == [2, 0]  # the one that ends a turn first
    assert model["pad_token_id"] == 0 and model["context_length"] == 512
    assert model["type"] == "llama"
    assert (search["temperature"], search["do_sample"], search["top_k"]) == (0.6, True, 20)
    assert search["top_p"] == 1.0 and search["max_length"] == 512


def test_memory_is_not_reserved_for_a_context_of_a_million(base: Path) -> None:
    merged = Merged(base)
    merged.config["max_position_embeddings"] = 2**20
    tokenizer, template = Tokenizer.load(base), ChatTemplate.load(base)
    model = Companion(merged, tokenizer, template, (2,))
    found = genai_config({"model": {}, "search": {}}, model)
    assert found["model"]["context_length"] == 2**20
    assert found["search"]["max_length"] == 8192


def test_a_target_without_weights_or_stop_token_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(AfinaError, match="is an export already"):
        Onnx(Target("x.gguf", "gguf", "x.gguf"))
    copy = tmp_path / "endless"
    shutil.copytree(base, copy)
    (copy / "generation_config.json").unlink()
    for name, key in (("config.json", "eos_token_id"), ("tokenizer_config.json", "eos_token")):
        values = json.loads((copy / name).read_text())
        values.pop(key, None)
        (copy / name).write_text(json.dumps(values))
    with pytest.raises(AfinaError, match="names no stop token"):
        Onnx(Target("x", "hf", str(copy), label="x"))


@pytest.mark.parametrize("kind", ["gpt-2", "llama-bpe", "always", "never"])
def test_a_tokenizer_of_any_class_is_read_as_it_is(tmp_path: Path, kind: str) -> None:
    plain = kind not in ("always", "never")  # a space in front, in SentencePiece's vocabularies
    raw = tokenizers_of.train(kind) if plain else tokenizers_of.train_sentencepiece(kind)
    tokenizers_of.write_model(tmp_path / "model", raw)
    settings = tmp_path / "model" / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"tokenizer_class": "Own"}))
    exporter = Onnx(Target("x", "hf", str(tmp_path / "model"), label="x"))
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "genai_config.json").write_text(json.dumps(GENAI))
    finish(folder, exporter.model, "fp32")
    tokenizer = exporter.model.tokenizer
    texts = hostile_snippets(list(tokenizer.specials)) if plain else ["Hello 北", " a b ", "naïve"]
    seen = exporter.seen("fp32", folder, texts, CONVERSATIONS, lambda: None)
    assert seen is not None
    assert seen.ids == [found.ids for found in tokenizer.encode_many(texts)]


def test_what_the_library_reads_otherwise_is_told(tmp_path: Path) -> None:
    cases = {"qwen2": "NFC", "smollm": "digits", "first": "before the first word"}
    for kind, words in cases.items():
        first = kind == "first"
        raw = tokenizers_of.train_sentencepiece(kind) if first else tokenizers_of.train(kind)
        tokenizers_of.write_model(tmp_path / kind, raw)
        notes = Onnx(Target("x", "hf", str(tmp_path / kind), label="x")).notes
        assert len(notes) == 1 and words in notes[0]


def test_rows_that_the_search_can_not_pack_are_refused_before_the_start(tmp_path: Path) -> None:
    tokenizers_of.write_model(tmp_path / "model", tokenizers_of.train("gpt-2"))  # one block a row
    exporter = Onnx(Target("x", "hf", str(tmp_path / "model"), label="x"))
    assert exporter.item("int4", tmp_path).bytes > 0
    with pytest.raises(AfinaError, match="for even numbers of them only"):
        exporter.item("int4-quality", tmp_path)
