"""The trainers get a tokenizer for every folder that rows are encoded by."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.data.encode.tokenizer import Tokenizer
from core.train.build import pad_id
from core.train.model.tokenizer import load_tokenizer
from tests.exporters.models import END, PAD
from tests.exporters.tokenizers_of import train_sentencepiece, write_model, write_sentencepiece


@pytest.mark.parametrize("alone", [True, False])
def test_a_tokenizer_model_that_stands_alone_pads_and_reads_the_same(
    tmp_path: Path, alone: bool
) -> None:
    tokenizer = train_sentencepiece("always")
    write_model(tmp_path, tokenizer)
    if alone:
        (tmp_path / "tokenizer.json").unlink()
        write_sentencepiece(tmp_path / "tokenizer.model", tokenizer)
    loaded, own = load_tokenizer(tmp_path), Tokenizer.load(tmp_path)
    assert pad_id(loaded) == own.token_id(PAD) and loaded.eos_token == END
    text = f"the sea{END} and a naïve 😀"
    assert loaded(text, add_special_tokens=False)["input_ids"] == own.encode(text).ids
