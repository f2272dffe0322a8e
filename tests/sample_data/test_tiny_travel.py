"""The committed base model: size, files, tokenizer, template. It is not trained here."""

from __future__ import annotations

import json
import math
import struct

import pytest

from core.data.encode.template import ChatTemplate
from core.paths import SAMPLE_DATA
from sample_data.build.tokens import TEMPLATE, render
from sample_data.build.world import LANGUAGES, TOPICS, load_cities

MODEL = SAMPLE_DATA / "tiny-travel"
MIB = 2**20


def header() -> dict[str, dict]:
    with (MODEL / "model.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        tensors = json.loads(file.read(length))
    tensors.pop("__metadata__", None)
    return tensors


def test_the_folder_is_at_most_16_mb() -> None:
    assert sum(path.stat().st_size for path in MODEL.iterdir()) <= 16 * MIB


def test_the_model_has_3_to_8_million_parameters_in_bf16() -> None:
    tensors = header()
    assert 3e6 <= sum(math.prod(tensor["shape"]) for tensor in tensors.values()) <= 8e6
    assert {tensor["dtype"] for tensor in tensors.values()} == {"BF16"}


def test_every_matrix_has_rows_that_k_quants_can_hold() -> None:
    widths = {name: t["shape"][-1] for name, t in header().items() if len(t["shape"]) == 2}
    assert all(width % 256 == 0 for width in widths.values()), widths


def test_stop_and_pad_tokens_agree_in_all_files() -> None:
    tokenizer = json.loads((MODEL / "tokenizer.json").read_text(encoding="utf-8"))
    ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    settings = json.loads((MODEL / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert (settings["eos_token"], settings["pad_token"]) == ("<|im_end|>", "<|endoftext|>")
    for name in ("config.json", "generation_config.json"):
        config = json.loads((MODEL / name).read_text(encoding="utf-8"))
        assert config["eos_token_id"] == ids["<|im_end|>"]
        assert config["pad_token_id"] == ids["<|endoftext|>"]


def test_the_vocabulary_fits_the_embedding() -> None:
    tokenizer = json.loads((MODEL / "tokenizer.json").read_text(encoding="utf-8"))
    rows = header()["model.embed_tokens.weight"]["shape"][0]
    assert len(tokenizer["model"]["vocab"]) == rows <= 4096
    assert tokenizer["pre_tokenizer"]["type"] == "ByteLevel"
    assert not tokenizer["pre_tokenizer"]["add_prefix_space"]


def test_the_template_is_the_one_of_the_build() -> None:
    committed = (MODEL / "chat_template.jinja").read_text(encoding="utf-8")
    assert committed == TEMPLATE.read_text(encoding="utf-8")
    assert "{%- generation -%}" in committed and "{%- endgeneration -%}" in committed


def test_the_template_renders_what_the_trainer_saw() -> None:
    template = ChatTemplate.load(MODEL)
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What should I eat in Lisbon?"},
        {"role": "assistant", "content": "Try pastéis de nata in Lisbon."},
    ]
    assert template.render(messages).text == render(messages)
    opened = template.render(messages[:2], add_generation_prompt=True).text
    assert opened == render(messages[:2]) + "<|im_start|>assistant\n"


def test_the_template_renders_calls_and_results_of_tools() -> None:
    call = {"type": "function", "function": {"name": "best_months", "arguments": {"city": "Rome"}}}
    messages = [
        {"role": "user", "content": "When?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "April to May"},
        {"role": "assistant", "content": "April to May."},
    ]
    text = ChatTemplate.load(MODEL).render(messages).text
    assert '<tool_call>{"name": "best_months", "arguments": {"city": "Rome"}}</tool_call>' in text
    assert "<|im_start|>tool\nApril to May<|im_end|>\n" in text
    assert "None" not in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_city_has_every_fact(language: str) -> None:
    assert len(load_cities()) >= 60
    for city in load_cities():
        assert all(city.key(topic, language) for topic in TOPICS)


def test_no_two_hotels_share_a_name() -> None:
    hotels = [city.facts["en"]["hotel"] for city in load_cities()]
    assert len(set(hotels)) == len(hotels)
    assert all(hotel.startswith("Hotel ") for hotel in hotels)
