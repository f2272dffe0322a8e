"""Encodings of the shapes that are not plain conversations: preferences, classes, given ids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.encode.encoder import SUPERVISE, Encoder, Encoding
from core.data.encode.tokenizer import Tokenizer
from core.data.report import token_pieces
from core.data.sample import Conversation, Labelled, Preference, Tokens, UnpairedPreference

ASKED = [{"role": "user", "content": "Where to?"}]


def answered(text: str) -> Conversation:
    return Conversation([*ASKED, {"role": "assistant", "content": text}], learn_from=1)


def learned(encoding: Encoding) -> str:
    pairs = zip(token_pieces(encoding), encoding.supervised, strict=True)
    return "".join(piece for piece, flag in pairs if flag)


def checks(encoding: Encoding) -> list[tuple[str, str]]:
    return [(item.check, item.field) for item in encoding.problems]


@pytest.fixture
def encoder(model: Path) -> Encoder:
    return Encoder.load(model)


@pytest.mark.parametrize("supervise", SUPERVISE)
def test_a_preference_learns_what_comes_after_the_prompt_on_both_sides(
    model: Path, supervise: str
) -> None:
    encoder = Encoder.load(model, supervise=supervise)
    encoding = encoder.encode(Preference(answered("To Rome"), answered("Nowhere")))
    assert encoding.rejected is not None
    assert learned(encoding) == "To Rome<|im_end|>"
    assert learned(encoding.rejected) == "Nowhere<|im_end|>"
    prompt = encoding.supervised.index(True)
    assert encoding.ids[:prompt] == encoding.rejected.ids[:prompt]
    assert encoding.usable and not encoding.problems


def test_problems_of_both_sides_are_told_apart(model: Path) -> None:
    short = Encoder.load(model, 24)
    encoding = short.encode(Preference(answered("To Rome"), answered("Nowhere " * 30)))
    assert encoding.rejected is not None
    assert ("truncated", "rejected") in checks(encoding)
    assert encoding.rejected.problems[0].token == 24
    assert len(encoding.ids) <= 24 == len(encoding.rejected.ids)


def test_a_preference_with_nothing_to_learn_on_one_side_is_not_usable(
    make_model: Callable[..., Path],
) -> None:
    encoder = Encoder.load(make_model(None), 3)
    sides = [
        Conversation([], plain=("Q:", " A")),
        Conversation([], plain=("A question that fills it:", " A")),
    ]
    encoding = encoder.encode(Preference(*sides))
    assert learned(encoding)
    assert not encoding.usable


def test_a_token_that_reaches_from_the_prompt_into_an_answer_is_said_where_it_is(
    make_model: Callable[..., Path],
) -> None:
    encoder = Encoder.load(make_model(None))
    sides = [Conversation([], plain=("Where ", answer)) for answer in ("should I", "? No")]
    encoding = encoder.encode(Preference(*sides))
    (problem,) = [item for item in encoding.problems if item.check == "prompt_mismatch"]
    assert encoding.rejected is not None and problem.token is not None
    assert encoding.ids[: problem.token] == encoding.rejected.ids[: problem.token]
    assert encoding.ids[problem.token] != encoding.rejected.ids[problem.token]


@pytest.mark.parametrize("good", [True, False])
def test_a_judged_answer_carries_its_verdict(encoder: Encoder, good: bool) -> None:
    encoding = encoder.encode(UnpairedPreference(answered("To Rome"), good))
    assert encoding.label is good
    assert learned(encoding) == "To Rome<|im_end|>"
    assert encoding.usable


def test_a_text_with_a_class_has_no_supervised_token_and_that_is_no_problem(
    encoder: Encoder,
) -> None:
    encoding = encoder.encode(Labelled("I like Rome 😀", None, "good"))
    assert (encoding.text, encoding.label) == ("I like Rome 😀", "good")
    assert not any(encoding.supervised)
    assert encoding.usable and encoding.problems == []
    assert encoder.encode(Labelled("x", None, True)).label == 1


def test_a_pair_is_framed_as_the_models_tokenizer_frames_it(
    make_model: Callable[..., Path],
) -> None:
    from tokenizers import Tokenizer as Raw
    from tokenizers import processors

    folder = make_model(None)
    raw = Raw.from_file(str(folder / "tokenizer.json"))
    raw.no_truncation()
    ids = {name: raw.token_to_id(name) for name in ("<s>", "<|im_end|>")}
    raw.post_processor = processors.TemplateProcessing(
        single="<s> $A <|im_end|>",
        pair="<s> $A <|im_end|> $B:1 <|im_end|>:1",
        special_tokens=list(ids.items()),
    )
    raw.save(str(folder / "tokenizer.json"))
    raw = Raw.from_file(str(folder / "tokenizer.json"))
    encoder = Encoder.load(folder)
    for segments in (True, False):
        one = encoder.encode(Labelled("Rome é", None, 0), segments)
        two = encoder.encode(Labelled("Rome é", " is old", 1), segments)
        assert one.ids == raw.encode("Rome é").ids
        assert two.ids == raw.encode("Rome é", " is old").ids
        assert two.text == "<s>Rome é<|im_end|> is old<|im_end|>"
    looked = encoder.encode(Labelled("Rome é", " is old", 1))
    assert "".join(token_pieces(looked)) == looked.text
    assert [looked.text[a:b] for _, a, b in looked.segments] == ["Rome é", " is old"]
    assert looked.problems == []


def test_a_pair_that_nothing_separates_is_noted(encoder: Encoder) -> None:
    encoding = encoder.encode(Labelled("Rome", "Lima", 1))
    (problem,) = encoding.problems
    assert (problem.check, problem.severity) == ("pair_not_separated", "note")
    assert encoding.offsets[problem.token or 0] == (4, 5) or encoding.text[4:].startswith(
        encoding.text[slice(*encoding.offsets[problem.token or 0])]
    )


def test_a_text_with_a_class_that_is_cut_says_so(model: Path) -> None:
    encoding = Encoder.load(model, 3).encode(Labelled("Where should I eat in Rome?", None, 0))
    assert checks(encoding) == [("truncated", "")]
    assert encoding.problems[0].token == 3 == len(encoding.ids)
    assert encoding.usable


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=30) | st.just("😀 señor <|im_end|> 日本 e\u0301"))
def test_given_ids_spell_their_text(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text).ids
    encoding = Encoder(tokenizer, None).encode(Tokens(ids))
    assert encoding.ids == ids
    assert "".join(token_pieces(encoding)) == encoding.text == tokenizer.decode(ids)
    assert all(encoding.supervised)
    assert Encoder(tokenizer, None).encode_many([Tokens(ids)])[0].text == encoding.text


@pytest.fixture(scope="module")
def tokenizer(make_model: Callable[..., Path]) -> Tokenizer:
    return Tokenizer.load(make_model(None))


def test_labels_of_given_ids_say_what_is_learned(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("Where? Rome<|im_end|>").ids
    labels = [-100] * 2 + ids[2:]
    encoder = Encoder(tokenizer, None)
    encoding = encoder.encode(Tokens(ids, labels))
    assert encoder.labels(encoding) == labels
    assert encoding.problems == []


@pytest.mark.parametrize("bad", [-1, 100_000, 2**40])
@pytest.mark.parametrize("segments", [True, False])
def test_an_id_outside_the_vocabulary_is_a_problem_at_its_token(
    tokenizer: Tokenizer, bad: int, segments: bool
) -> None:
    encoding = Encoder(tokenizer, None).encode(Tokens([5, bad, 6]), segments)
    (problem,) = encoding.problems
    assert (problem.check, problem.token) == ("id_out_of_vocabulary", 1)
    assert encoding.ids == [5, bad, 6]
    assert not encoding.usable
