"""A tokenizer.model that stands alone is read as the tokenizer.json it amounts to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.data.encode import sentencepiece
from core.data.encode.tokenizer import Tokenizer
from core.errors import AfinaError
from tests.exporters.models import PAD, TEXT
from tests.exporters.tokenizers_of import BOS, train_sentencepiece, write_sentencepiece

TEXTS = [TEXT, "  two  spaces ", "naïve 你好 😀\n", f"{BOS}a {PAD} b", ""]


def folder_with(path: Path, tokenizer: Any, settings: dict[str, Any], **options: Any) -> Path:
    write_sentencepiece(path / "tokenizer.model", tokenizer, **options)
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    return path


def test_every_piece_has_its_score_and_its_kind(tmp_path: Path) -> None:
    tokenizer = train_sentencepiece("always")
    model = sentencepiece.read_model(folder_with(tmp_path, tokenizer, {}) / "tokenizer.model")
    pieces = {piece.text: piece for piece in model.pieces}
    assert [piece.text for piece in model.pieces] == sorted(
        tokenizer.get_vocab(), key=tokenizer.get_vocab().get
    )
    last = model.pieces[-1]
    kinds = [pieces[text].kind for text in ("<unk>", PAD, "<0x0A>", last.text)]
    assert kinds == [2, 3, 6, 1]
    assert last.score == -(len(model.pieces) - 1)
    assert (model.algorithm, model.byte_fallback, model.prefix, model.squeezes) == (2, 1, 1, 0)


@pytest.mark.parametrize(
    ("settings", "options", "spaces"),
    [
        ({}, {}, "always"),
        ({"legacy": False}, {}, "first"),
        ({"add_prefix_space": False}, {}, "never"),
        ({}, {"prefix": False}, "never"),
    ],
)
def test_a_text_has_the_tokens_of_the_tokenizer_json(
    tmp_path: Path, settings: dict[str, Any], options: dict[str, Any], spaces: str
) -> None:
    tokenizer = train_sentencepiece(spaces)
    folder = folder_with(tmp_path, tokenizer, settings, **options)
    found = [item.ids for item in Tokenizer.load(folder).encode_many(TEXTS)]
    assert found == [item.ids for item in tokenizer.encode_batch(TEXTS)]


def test_settings_add_tokens_and_say_whether_bos_comes_first(tmp_path: Path) -> None:
    tokenizer = train_sentencepiece("always")
    size = tokenizer.get_vocab_size()
    added = {str(size): {"content": "<|call|>", "special": False, "rstrip": True}}
    settings = {"bos_token": BOS, "added_tokens_decoder": added}
    loaded = Tokenizer.load(folder_with(tmp_path, tokenizer, settings))
    assert loaded.encode("<|call|>").ids == [size]
    assert loaded.single.before == [tokenizer.token_to_id(BOS)] and PAD in loaded.specials
    silent = folder_with(tmp_path, tokenizer, settings | {"add_bos_token": False})
    assert Tokenizer.load(silent).single.before == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"algorithm": 1}, "not a BPE with byte fallback"),
        ({"squeezes": True}, "one space of several"),
        ({"charsmap": b"\1"}, "rewrites letters first"),
    ],
)
def test_another_kind_of_model_is_refused(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    folder = folder_with(tmp_path, train_sentencepiece("always"), {}, **options)
    with pytest.raises(AfinaError, match=words) as caught:
        Tokenizer.load(folder)
    assert "save_pretrained" in caught.value.hint


@pytest.mark.parametrize("data", [b"", b"\x0a\xff\xff", b"\x0f", b"not a model at all"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "tokenizer.model").write_bytes(data)
    with pytest.raises(AfinaError, match=r"tokenizer\.model\""):
        Tokenizer.load(tmp_path)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AfinaError, match=r"no tokenizer\.json"):
        Tokenizer.load(tmp_path)
