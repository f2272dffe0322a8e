"""The mask: which text the supervised tokens spell, for every shape, template and setting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.encode.encoder import IGNORED, SUPERVISE, Encoder, Encoding, encode_rows
from core.data.files.source import open_source
from core.data.report import token_pieces
from core.data.sample import Conversation, Text
from core.data.shapes.read import Reader
from core.errors import AfinaError
from tests.core.data.conftest import MARKED, TEMPLATES
from tests.core.data.samples import to_sample

CHAT = [
    {"role": "system", "content": "Be nice 😀"},
    {"role": "user", "content": "Where to eat?"},
    {"role": "assistant", "content": " The market, señor 😀"},
    {"role": "user", "content": "And in Rome?"},
    {"role": "assistant", "content": "Testaccio! "},
]
BOTH = [" The market, señor 😀<|im_end|>", "Testaccio! <|im_end|>"]


def learned(encoding: Encoding) -> list[str]:
    """The text that each run of supervised tokens spells."""
    runs: list[str] = []
    before = False
    for piece, flag in zip(token_pieces(encoding), encoding.supervised, strict=True):
        if flag:
            runs[len(runs) - before :] = [(runs[-1] if before else "") + piece]
        before = flag
    return runs


def checks(encoding: Encoding) -> list[str]:
    return [problem.check for problem in encoding.problems]


@pytest.fixture
def encoder(model: Path) -> Encoder:
    return Encoder.load(model)


@pytest.mark.parametrize("template", ["chatml", "marked", "marked_short"])
def test_each_answer_is_learned_with_its_stop_token_and_nothing_else(
    make_model: Callable[..., Path], template: str
) -> None:
    encoding = Encoder.load(make_model(template)).encode(Conversation(CHAT))
    assert learned(encoding) == BOTH
    assert encoding.problems == []


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_the_last_answer_alone_can_be_learned(
    make_model: Callable[..., Path], template: str
) -> None:
    encoder = Encoder.load(make_model(template), supervise="last_assistant")
    thought = "<think></think>" if template == "rewriting" else ""
    assert learned(encoder.encode(Conversation(CHAT))) == [thought + BOTH[1]]


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_every_token_can_be_learned(make_model: Callable[..., Path], template: str) -> None:
    encoding = Encoder.load(make_model(template), supervise="all").encode(Conversation(CHAT))
    assert all(encoding.supervised)
    assert "no_stop_token_learned" not in checks(encoding)


@pytest.mark.parametrize("template", ["chatml", "marked", "marked_short"])
def test_a_message_of_weight_0_is_not_learned(
    make_model: Callable[..., Path], template: str
) -> None:
    sample = to_sample("chat", {"messages": [*CHAT[:2], {**CHAT[2], "weight": 0}, *CHAT[3:]]})
    folder = make_model(template)
    assert learned(Encoder.load(folder).encode(sample)) == BOTH[1:]
    whole = Encoder.load(folder, supervise="all").encode(sample)
    assert "market" not in "".join(learned(whole))
    assert "Where to eat" in "".join(learned(whole))


def test_only_the_completion_of_a_prompt_with_answers_is_learned(encoder: Encoder) -> None:
    row = {"prompt": CHAT[:4], "completion": CHAT[4:]}
    assert learned(encoder.encode(to_sample("prompt_completion", row))) == BOTH[1:]


def test_a_template_that_rewrites_history_is_reported_and_masked_by_comparison(
    make_model: Callable[..., Path],
) -> None:
    encoding = Encoder.load(make_model("rewriting")).encode(Conversation(CHAT))
    assert checks(encoding) == ["template_rewrites_history"]
    assert learned(encoding) == [BOTH[0], "<think></think>" + BOTH[1]]


def test_an_answer_whose_place_is_not_certain_is_not_learned(
    make_model: Callable[..., Path],
) -> None:
    # Earlier answers are shown as their length: no comparison can find them.
    source = (
        "{% for m in messages %}{{ '[' + m.role + ']' }}{% if m.role == 'assistant' and not "
        "loop.last %}{{ m.content | length }}{% else %}{{ m.content }}{% endif %}"
        "{{ '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}"
    )
    encoding = Encoder.load(make_model(source)).encode(Conversation(CHAT))
    assert learned(encoding) == [BOTH[1]]
    assert checks(encoding) == ["template_rewrites_history"]
    assert encoding.problems[0].field == "messages[2]"
    assert "can't be learned from" in encoding.problems[0].found


def test_the_mask_equals_that_of_transformers_where_the_markers_hold_the_stop_token(
    make_model: Callable[..., Path],
) -> None:
    from transformers import AutoTokenizer

    # Answers without white space around them: transformers loses the mask from the first answer on
    # that begins with a space, because trimmed offsets leave that space without a token.
    chat = [{**message, "content": message["content"].strip()} for message in CHAT]
    folder = make_model(MARKED)
    theirs = AutoTokenizer.from_pretrained(folder).apply_chat_template(
        chat, return_dict=True, return_assistant_tokens_mask=True
    )
    ours = Encoder.load(folder).encode(Conversation(chat))
    assert ours.ids == theirs["input_ids"]
    assert ours.supervised == [bool(flag) for flag in theirs["assistant_masks"]]


@pytest.mark.parametrize("bos", [False, True])
def test_every_token_of_a_text_is_learned_and_the_end_token_follows(
    make_model: Callable[..., Path], bos: bool
) -> None:
    encoder = Encoder.load(make_model(None, bos=bos))
    encoding = encoder.encode(Text("Hello Rome\n"))
    start = "<s>" if bos else ""
    assert encoding.text == f"{start}Hello Rome\n<|im_end|>"
    assert all(encoding.supervised)
    assert encoding.ids[-1] == encoder.tokenizer.eos_id
    assert encoding.problems == []


@pytest.mark.parametrize("bos", [False, True])
def test_prompt_and_completion_need_no_template(make_model: Callable[..., Path], bos: bool) -> None:
    encoder = Encoder.load(make_model(None, bos=bos))
    encoding = encoder.encode(to_sample("prompt_completion", {"prompt": "Q:", "completion": " A"}))
    assert learned(encoding) == [" A<|im_end|>"]
    assert encoding.text == ("<s>" if bos else "") + "Q: A<|im_end|>"
    assert encoding.segments[-1][0] == "assistant"


def test_an_end_token_that_the_row_has_already_is_not_doubled(
    make_model: Callable[..., Path],
) -> None:
    encoder = Encoder.load(make_model(None))
    row = {"prompt": "Q:", "completion": " A<|im_end|>"}
    assert encoder.encode(to_sample("prompt_completion", row)).text == "Q: A<|im_end|>"


def test_prompt_and_completion_go_through_a_template_where_there_is_one(encoder: Encoder) -> None:
    row = {"system_prompt": "S", "question": "Q", "response": "A"}
    encoding = encoder.encode(to_sample("prompt_completion", row))
    assert encoding.text.startswith(
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ<|im_end|>"
    )
    assert learned(encoding) == ["A<|im_end|>"]


def test_conversations_without_a_template_are_one_sentence(make_model: Callable[..., Path]) -> None:
    with pytest.raises(AfinaError, match="no chat template"):
        Encoder.load(make_model(None)).encode(Conversation(CHAT))


@pytest.mark.parametrize("template", ["chatml", "marked", "marked_short"])
def test_a_cut_keeps_the_beginning_of_the_full_encoding_and_counts_the_rest(
    make_model: Callable[..., Path], template: str
) -> None:
    folder = make_model(template)
    full = Encoder.load(folder).encode(Conversation(CHAT))
    for limit in (1, 40, len(full.ids) - 1, len(full.ids), len(full.ids) + 1):
        cut = Encoder.load(folder, limit).encode(Conversation(CHAT))
        assert cut.ids == full.ids[:limit]
        assert cut.supervised == full.supervised[:limit]
        assert cut.offsets == full.offsets[:limit]
        assert cut.truncated_tokens == max(0, len(full.ids) - limit)
        assert cut.text == full.text


def test_what_a_cut_costs_is_said(model: Path) -> None:
    full = Encoder.load(model).encode(Conversation(CHAT))
    first = full.supervised.index(True)
    one = Encoder.load(model, first + 1).encode(Conversation(CHAT))
    assert checks(one) == ["truncated"]
    lost = sum(full.supervised) - 1
    assert (
        f"{len(full.ids) - first - 1} are cut, {lost} of them supervised" in one.problems[0].found
    )
    none = Encoder.load(model, first).encode(Conversation(CHAT))
    assert checks(none) == ["prompt_fills_max_length", "zero_supervised_tokens"]
    assert none.problems[0].found == f"{first} tokens before the answer"


def test_an_answer_that_never_stops_is_reported(make_model: Callable[..., Path]) -> None:
    folder = make_model("{% for m in messages %}{{ m.content }}\n{% endfor %}")
    encoding = Encoder.load(folder).encode(Conversation(CHAT))
    assert "no_stop_token_learned" in checks(encoding)


def test_labels_are_the_ids_where_learned_and_ignored_elsewhere(encoder: Encoder) -> None:
    encoding = encoder.encode(Conversation(CHAT))
    labels = encoder.labels(encoding)
    assert len(labels) == len(encoding.ids)
    kept = [label for label in labels if label != IGNORED]
    assert encoder.tokenizer.decode(kept) == "".join(BOTH)


def test_segments_cover_the_text_by_message(make_model: Callable[..., Path]) -> None:
    for template in ("chatml", "marked", "marked_short"):
        encoding = Encoder.load(make_model(template)).encode(Conversation(CHAT))
        roles = [role for role, _, _ in encoding.segments]
        assert roles == [message["role"] for message in CHAT]
        assert (
            "".join(encoding.text[start:end] for _, start, end in encoding.segments)
            == encoding.text
        )
        for message, (_, start, end) in zip(CHAT, encoding.segments, strict=True):
            assert message["content"] in encoding.text[start:end]


def test_a_prompt_is_the_beginning_of_what_was_learned(encoder: Encoder) -> None:
    text, ids = encoder.prompt(CHAT[:4])
    encoding = encoder.encode(Conversation(CHAT))
    assert encoding.text.startswith(text)
    assert encoding.ids[: len(ids)] == ids
    assert encoding.supervised[len(ids)]
    assert not encoding.supervised[len(ids) - 1]


def test_the_developer_speaks_as_the_system_to_templates_that_do_not_know_him(
    encoder: Encoder,
) -> None:
    messages = [{"role": "developer", "content": "D"}, *CHAT[1:3]]
    assert encoder.encode(Conversation(messages)).text.startswith("<|im_start|>system\nD")


def test_a_conversation_that_the_template_refuses_is_a_problem_of_the_row(
    make_model: Callable[..., Path],
) -> None:
    folder = make_model("{{ raise_exception('no system role') }}")
    encoding = Encoder.load(folder).encode(Conversation(CHAT))
    assert (encoding.ids, checks(encoding)) == ([], ["template_error"])
    assert "no system role" in encoding.problems[0].found


def test_rows_are_encoded_in_the_order_asked_for_and_none_is_left_out(
    encoder: Encoder, write_rows: Callable[..., Path]
) -> None:
    rows: list[object] = [
        {"messages": [{**CHAT[1], "content": f"{n}?"}, CHAT[2]]} for n in range(150)
    ]
    rows[70] = {"messages": "nothing"}
    source = open_source(write_rows(rows))
    everything = list(encode_rows(source, Reader("chat"), encoder))
    assert [encoding.index for encoding in everything] == list(range(150))
    assert checks(everything[70]) == ["missing_messages"]
    assert (everything[70].problems[0].row, everything[70].problems[0].line) == (71, 71)
    assert everything[70].ids == []
    some = list(encode_rows(source, Reader("chat"), encoder, [149, 0, 70]))
    assert [encoding.index for encoding in some] == [149, 0, 70]
    assert some[0].ids == everything[149].ids


TURN = st.text(max_size=12) | st.sampled_from(
    ["<|im_end|>", "<|im_start|>user", "<|endoftext|>", "\n", " ", "😀", "a\n\n", "assistant"]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(TURN, TURN), min_size=1, max_size=3), st.sampled_from(SUPERVISE))
def test_markers_and_comparison_agree_on_any_conversation(
    folders: dict[str, Path], turns: list[tuple[str, str]], supervise: str
) -> None:
    messages = [
        message
        for question, answer in turns
        for message in (
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        )
    ]
    marked, compared = (
        Encoder.load(folders[name], supervise=supervise).encode(Conversation(messages))
        for name in ("marked", "chatml")
    )
    assert marked.text == compared.text
    assert marked.ids == compared.ids
    assert marked.supervised == compared.supervised
    assert "".join(token_pieces(marked)) == marked.text
    if supervise == "assistant" and not any(answer[:1].isspace() for _, answer in turns):
        assert "".join(learned(marked)) == "".join(f"{answer}<|im_end|>" for _, answer in turns)


@pytest.fixture(scope="module")
def folders(make_model: Callable[..., Path]) -> dict[str, Path]:
    return {name: make_model(name) for name in TEMPLATES}


def test_unknown_ways_to_supervise_are_refused(model: Path) -> None:
    with pytest.raises(AfinaError, match='Did you mean "assistant"'):
        Encoder.load(model, supervise="asistant")
    with pytest.raises(AfinaError, match="at least 1"):
        Encoder.load(model, max_length=0)
