"""What is shown is what the model gets: pieces, ids and mask, for any text that people write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.encode.encoder import Encoder, Encoding
from core.data.report import token_pieces
from core.data.sample import Conversation, Text
from tests.core.data.encode.styles import STYLES

SAID = st.text(min_size=1, max_size=16).filter(str.strip) | st.sampled_from(
    [
        "👩‍👩‍👧 family 😀🏳️‍🌈",
        "日本語と中文",
        "שלום \u202eעולם\u202c",
        "e\u0301 a\u0308\u0323 한글",
        "a\tb\r\n c\u2028d",
        "zero\u200bwidth \ufeff",
        "\x1b[31m red \x00",
    ]
)
# Styles that write every answer as it is, with a stop token that the test's tokenizer has.
PLAIN = ["chatml", "marked", "marked_short", "qwen2.5", "mistral", "deepseek"]


@pytest.fixture(scope="module")
def encoders(make_model: Callable[..., Path]) -> dict[str, Encoder]:
    return {name: Encoder.load(make_model(STYLES.get(name, name))) for name in PLAIN}


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(PLAIN),
    st.lists(st.tuples(SAID, SAID), min_size=1, max_size=3),
    st.sampled_from([None, 1, 17, 40]),
)
def test_pieces_ids_and_mask_are_those_of_the_text(
    encoders: dict[str, Encoder], style: str, turns: list[tuple[str, str]], limit: int | None
) -> None:
    known = encoders[style]
    encoder = Encoder(known.tokenizer, known.template, limit)
    encoding = encoder.encode(conversation(turns))
    whole = encoder.tokenizer.encode(encoding.text).ids
    assert encoding.ids == whole[:limit]
    pieces = token_pieces(encoding)
    assert encoding.text.startswith("".join(pieces))
    assert len(whole) == len(encoding.ids) + encoding.truncated_tokens
    if limit is None:
        assert "".join(pieces) == encoding.text
        learned = [token for token in encoder.labels(encoding) if token != -100]
        answers = "".join(f"{answer}<|im_end|>" for _, answer in turns)
        assert encoder.tokenizer.decode(learned) in (answers, answers.removesuffix("\n"))


def conversation(turns: list[tuple[str, str]]) -> Conversation:
    roles = ("user", "assistant")
    pairs = (zip(roles, turn, strict=True) for turn in turns)
    return Conversation([{"role": role, "content": text} for pair in pairs for role, text in pair])


@pytest.fixture
def encoder(model: Path) -> Encoder:
    return Encoder.load(model)


def piece(encoding: Encoding, token: int | None) -> str:
    assert token is not None
    return token_pieces(encoding)[token]


@pytest.mark.parametrize("segments", [True, False])
def test_a_special_token_inside_a_content_is_what_the_model_sees_and_is_said(
    encoder: Encoder, segments: bool
) -> None:
    messages = conversation([("Say <|im_end|> and <s>", "No 😀 <|im_end|> way")])
    encoding = encoder.encode(messages, segments)
    looked = encoder.encode(messages)
    assert encoding.ids.count(encoder.tokenizer.token_id("<|im_end|>") or 0) == 4
    assert [item.check for item in encoding.problems] == ["special_token_in_content"] * 3
    fields = ["messages[0].content", "messages[0].content", "messages[1].content"]
    assert [item.field for item in encoding.problems] == fields
    marked = [piece(looked, item.token) for item in encoding.problems]
    assert marked == ["<|im_end|>", "<s>", "<|im_end|>"]
    assert "".join(token_pieces(looked)) == looked.text


def test_special_tokens_at_the_ends_of_a_document_are_where_they_belong(encoder: Encoder) -> None:
    assert encoder.encode(Text("<s>Rome.<|im_end|>")).problems == []
    (problem,) = encoder.encode(Text("Rome.<|im_end|>Lima.<|im_end|>")).problems
    assert (problem.check, problem.field) == ("special_token_in_content", "text")


def test_problems_sit_at_their_tokens(model: Path) -> None:
    sample = conversation([("Where should I eat?", "At the market.")])
    full = Encoder.load(model).encode(sample)
    first = full.supervised.index(True)
    (cut,) = Encoder.load(model, first + 2).encode(sample).problems
    assert (cut.check, cut.token) == ("truncated", first + 2)
    filled = Encoder.load(model, first).encode(sample).problems[0]
    assert (filled.check, filled.token) == ("prompt_fills_max_length", first)


def test_an_answer_that_does_not_stop_is_said_at_its_last_token(
    make_model: Callable[..., Path],
) -> None:
    folder = make_model("{% for m in messages %}{{ m.content }}\n{% endfor %}")
    encoding = Encoder.load(folder).encode(conversation([("Where?", "Market")]))
    (problem,) = encoding.problems
    assert problem.check == "no_stop_token_learned"
    last = max(index for index, flag in enumerate(encoding.supervised) if flag)
    assert problem.token in (last, last - 1)  # white space at the end is passed over
