"""Where tokens stand: counted bytes give what the tokenizer's own offsets give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Raw
from tokenizers import decoders, models, normalizers, pre_tokenizers

from core.data.encode.spans import ByEncoding, ByLengths, ByOffsets, Word, surrounded
from core.data.encode.tokenizer import Tokenizer

TEXT = st.text(max_size=24) | st.sampled_from(
    ["", "😀😀", "señor 日本 שלום", "e\u0301", "<|im_end|>é<s>", "👩‍👩‍👧 x", " \n\t "]
)


@pytest.fixture(scope="module")
def tokenizer(make_model: Callable[..., Path]) -> Tokenizer:
    return Tokenizer.load(make_model(None))


@settings(max_examples=200, deadline=None)
@given(text=TEXT, places=st.tuples(st.integers(0, 30), st.integers(0, 30)))
def test_counted_places_are_those_of_the_offsets(
    tokenizer: Tokenizer, text: str, places: tuple[int, int]
) -> None:
    (slow,), (fast,) = (tokenizer.encode_many([text], fast=way) for way in (False, True))
    assert isinstance(slow, ByOffsets) and isinstance(fast, ByLengths)
    same(slow, fast, text, places)
    same(slow, ByEncoding(tokenizer._raw.encode(text)), text, places)


def test_tokens_before_and_after_move_the_others(tokenizer: Tokenizer) -> None:
    head: list[Word] = [(1, "<s>"), (2, "é")]
    tail: list[Word] = [(3, "<|im_end|>")]
    (inner,) = tokenizer.encode_many(["ñ"], fast=True)
    spans = surrounded(inner, head, tail, "<s>éñ<|im_end|>")
    assert spans.ids == [1, 2, *inner.ids, 3]
    assert spans.offsets == [(0, 3), (3, 4), *[(4, 5)] * len(inner.ids), (5, 15)]


def same(slow: ByOffsets, fast: ByLengths | ByEncoding, text: str, places: tuple[int, int]) -> None:
    assert slow.ids == fast.ids
    assert slow.offsets == fast.offsets
    assert [fast.span(index) for index in range(len(fast.ids))] == slow.offsets
    start, end = sorted(min(place, len(text)) for place in places)
    assert slow.within(start, end) == fast.within(start, end)


@pytest.mark.parametrize("change", ["prefix space", "lower case", "half the bytes"])
def test_vocabularies_whose_tokens_are_not_the_texts_bytes_are_not_counted(
    make_model: Callable[..., Path], change: str
) -> None:
    folder = make_model(None)
    path = str(folder / "tokenizer.json")
    raw = Raw.from_file(path)
    if change == "prefix space":
        raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    elif change == "lower case":
        raw.normalizer = normalizers.Lowercase()
    else:
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())[:128]
        raw = Raw(models.BPE({letter: at for at, letter in enumerate(alphabet)}, []))
        raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        raw.decoder = decoders.ByteLevel()
    raw.save(path)
    (spans,) = Tokenizer.load(folder).encode_many(["Rome É"], fast=True)
    assert isinstance(spans, ByEncoding)


@pytest.mark.parametrize("text", ["e\u0301a", "가", "plain", "Å"])
def test_a_text_that_is_composed_before_it_is_tokenized_keeps_its_places(
    make_model: Callable[..., Path], text: str
) -> None:
    folder = make_model(None)
    path = str(folder / "tokenizer.json")
    raw = Raw.from_file(path)
    raw.normalizer = normalizers.NFC()
    raw.save(path)
    tokenizer = Tokenizer.load(folder)
    (slow,), (fast,) = (tokenizer.encode_many([text], fast=way) for way in (False, True))
    assert slow.ids == fast.ids
    assert slow.offsets == fast.offsets
