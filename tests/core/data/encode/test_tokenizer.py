"""The tokenizer: what its file says and nothing more, special tokens, stop tokens, model names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from core.data.encode.tokenizer import Tokenizer
from core.errors import AfinaError

TEXTS = [
    "Where should I eat in Rome?",
    "¿Qué comer? 😀 ñandú",
    "  two  spaces \n\n\t",
    "<|im_start|>user\nHi<|im_end|>",
    "",
]


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("text", TEXTS)
def test_tokens_spell_the_text_without_cut_or_addition(
    make_model: Callable[..., Path], text: str, bos: bool
) -> None:
    tokenizer = Tokenizer.load(make_model(None, bos=bos))
    spans = tokenizer.encode(text)
    assert tokenizer.decode(spans.ids) == text
    assert len(spans.ids) == len(spans.offsets)
    covered = [index for start, end in spans.offsets for index in range(start, end)]
    assert sorted(set(covered)) == list(range(len(text)))
    assert spans == tokenizer.encode_many([text])[0]


def test_ids_equal_those_of_transformers(model: Path) -> None:
    from transformers import AutoTokenizer

    theirs, ours = AutoTokenizer.from_pretrained(model), Tokenizer.load(model)
    for text in TEXTS:
        assert ours.encode(text).ids == theirs.encode(text, add_special_tokens=False)


def test_special_tokens_and_stop_tokens_come_from_every_file_that_names_them(model: Path) -> None:
    tokenizer = Tokenizer.load(model)
    assert (tokenizer.bos, tokenizer.eos, tokenizer.pad) == ("<s>", "<|im_end|>", "<|endoftext|>")
    ids = {tokenizer.token_id("<|endoftext|>"), tokenizer.token_id("<|im_end|>")}
    assert tokenizer.stop_ids == ids
    assert tokenizer.eos_id in ids
    assert tokenizer.token_text(tokenizer.eos_id or 0) == "<|im_end|>"
    assert tokenizer.vocab_size == max(tokenizer.bos_id or 0, *filter(None, ids)) + 1


def test_older_spellings_of_special_tokens_are_read(make_model: Callable[..., Path]) -> None:
    folder = make_model(None)
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"eos_token": {"content": "<|im_end|>", "lstrip": False}, "pad_token": None})
    )
    (folder / "special_tokens_map.json").write_text(json.dumps({"bos_token": "<s>"}))
    (folder / "generation_config.json").unlink()
    (folder / "config.json").write_text(json.dumps({"eos_token_id": None}))
    tokenizer = Tokenizer.load(folder)
    assert (tokenizer.bos, tokenizer.eos, tokenizer.pad) == ("<s>", "<|im_end|>", None)
    assert tokenizer.stop_ids == {tokenizer.eos_id}


def test_a_folder_without_a_readable_tokenizer_is_one_sentence(
    make_model: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(AfinaError, match=r"no tokenizer\.json"):
        Tokenizer.load(tmp_path)
    folder = make_model(None)
    (folder / "config.json").write_text("{broken")
    with pytest.raises(AfinaError, match=r"config\.json"):
        Tokenizer.load(folder)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(AfinaError, match="Can't read the tokenizer"):
        Tokenizer.load(folder)
