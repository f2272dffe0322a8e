"""The words for what is to be exported."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import AfinaError
from exporters.contract import EXPORTERS
from exporters.job.export_spec import Wanted, choices_of, everything, parse_to


def test_types_are_read_in_either_case_and_each_once() -> None:
    words = ["GGUF:Q4_K_M, f16", "gguf:q4_k_m"]
    assert parse_to(words) == [Wanted("gguf", "q4_k_m"), Wanted("gguf", "f16")]
    assert parse_to("gguf:q8_0") == [Wanted("gguf", "q8_0")]


def test_a_kind_counts_for_the_types_after_it() -> None:
    assert [str(each) for each in parse_to("onnx:INT4,fp32,gguf:f16,merged")] == [
        "onnx:int4",
        "onnx:fp32",
        "gguf:f16",
        "merged:bf16",
    ]


def test_merged_alone_means_bf16() -> None:
    assert parse_to("Merged") == parse_to("merged:bf16") == [Wanted("merged", "bf16")]
    assert parse_to("merged:f32") == [Wanted("merged", "f32")]


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("gguf:q4_k", 'There is no gguf type "q4_k". Did you mean "q4_k_'),
        ("onnx:int5", 'no onnx type "int5". Did you mean "int'),
        ("gguf", '"gguf" names no type. Types: gguf:f32'),
        ("gguf:q4_k_m,", "names no type"),
        ("q8_0", "Write gguf:q8_0."),
        ("f16", "Write gguf:f16 or merged:f16."),
        ("ggfu:f16", 'no export "ggfu:f16". Did you mean "gguf"? There are gguf:f32,f16,'),
        ([], "Nothing is to be exported. There are gguf:f32"),
    ],
)
def test_a_word_that_means_nothing_says_what_there_is(word: Any, words: str) -> None:
    with pytest.raises(AfinaError) as caught:
        parse_to(word)
    assert words in str(caught.value)


def test_everything_that_is_offered_has_a_word_and_a_line_about_it() -> None:
    offered = everything()
    assert parse_to([str(each) for each in offered]) == offered
    lines = [choices_of(each.kind)[each.type] for each in offered]
    assert all(line and not line.startswith(" ") for line in lines)
    assert {each.kind for each in offered} == set(EXPORTERS)
