"""Pairs of answers and judged answers: every spelling, and the words for wrong ones."""

from __future__ import annotations

from typing import Any

import pytest

from core.data.sample import Preference, UnpairedPreference
from core.data.shapes.detect import shape_of
from core.data.shapes.read import read_sample

S, U = {"role": "system", "content": "S"}, {"role": "user", "content": "Q"}
GOOD, BAD = {"role": "assistant", "content": "A"}, {"role": "assistant", "content": "B"}
HUMAN = {"from": "human", "value": "Q"}

PAIRS: list[tuple[str, Any, list[dict[str, Any]], tuple[str, str] | None]] = [
    (
        "OpenAI",
        {
            "input": {"messages": [S, U], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [GOOD],
            "non_preferred_output": [BAD],
        },
        [S, U],
        None,
    ),
    ("TRL texts", {"prompt": "Q", "chosen": "A", "rejected": "B"}, [U], ("Q", "A")),
    (
        "TRL system",
        {"system": "S", "prompt": "Q", "chosen": "A", "rejected": "B"},
        [S, U],
        ("S\n\nQ", "A"),
    ),
    (
        "Orca",
        {"system": "S", "question": "Q", "chosen": "A", "rejected": "B"},
        [S, U],
        ("S\n\nQ", "A"),
    ),
    ("TRL messages", {"prompt": [S, U], "chosen": [GOOD], "rejected": [BAD]}, [S, U], None),
    ("TRL mixed", {"prompt": [S, U], "chosen": "A", "rejected": "B"}, [S, U], None),
    ("implicit", {"chosen": [U, GOOD], "rejected": [U, BAD]}, [U], None),
    ("prompt in both", {"prompt": "Q", "chosen": [U, GOOD], "rejected": [U, BAD]}, [U], None),
    (
        "system beside, prompt in both",
        {"prompt": [S, U], "chosen": [U, GOOD], "rejected": [U, BAD]},
        [S, U],
        None,
    ),
    ("question", {"question": "Q", "chosen": "A", "rejected": "B"}, [U], ("Q", "A")),
    (
        "ShareGPT",
        {
            "conversations": [HUMAN],
            "chosen": {"from": "gpt", "value": "A"},
            "rejected": {"from": "gpt", "value": "B"},
        },
        [U],
        None,
    ),
    (
        "Alpaca",
        {"instruction": "Q", "input": "more", "chosen": "A", "rejected": "B"},
        [{"role": "user", "content": "Q\n\nmore"}],
        None,
    ),
]


@pytest.mark.parametrize(
    ("value", "prompt", "plain"), [pair[1:] for pair in PAIRS], ids=[pair[0] for pair in PAIRS]
)
def test_a_pair_becomes_two_conversations_that_share_the_prompt(
    value: Any, prompt: list[dict[str, Any]], plain: tuple[str, str] | None
) -> None:
    assert shape_of(value) == "preference"
    reading = read_sample("preference", value)
    assert reading.problems == []
    sample = reading.sample
    assert isinstance(sample, Preference)
    assert sample.chosen.messages == [*prompt, GOOD]
    assert sample.rejected.messages == [*prompt, BAD]
    assert sample.chosen.learn_from == sample.rejected.learn_from == len(prompt)
    if plain:
        assert sample.chosen.plain == plain


def test_the_prompt_of_two_texts_is_what_they_share_up_to_a_whole_word() -> None:
    value = {"chosen": "Human: eat? Assistant: pizza", "rejected": "Human: eat? Assistant: pasta"}
    sample = read_sample("preference", value).sample
    assert isinstance(sample, Preference)
    assert sample.chosen.plain == ("Human: eat? Assistant:", " pizza")
    assert sample.rejected.plain == ("Human: eat? Assistant:", " pasta")


def test_no_side_begins_in_the_middle_of_a_word() -> None:
    value = {"chosen": "Eat pizza now", "rejected": "Eat pizzas now"}
    sample = read_sample("preference", value).sample
    assert isinstance(sample, Preference)
    assert sample.chosen.plain == ("Eat", " pizza now")
    assert sample.rejected.plain == ("Eat", " pizzas now")


def test_weights_stay_with_their_messages_when_the_prompt_is_parted_off() -> None:
    turns = [U, {**GOOD, "weight": 0}, U]
    value = {"chosen": [*turns, {**GOOD, "weight": 0}], "rejected": [*turns, BAD]}
    sample = read_sample("preference", value).sample
    assert isinstance(sample, Preference)
    assert (sample.chosen.unlearned, sample.rejected.unlearned) == ({1, 3}, {1})


def test_longer_answers_may_go_on_with_turns_of_their_own() -> None:
    value = {"chosen": [U, GOOD, U, GOOD], "rejected": [U, GOOD, U, BAD]}
    sample = read_sample("preference", value).sample
    assert isinstance(sample, Preference)
    assert sample.chosen.learn_from == 3
    value = {"chosen": [U, GOOD], "rejected": [U, GOOD, U, BAD]}
    sample = read_sample("preference", value).sample
    assert isinstance(sample, Preference)
    assert (sample.chosen.learn_from, len(sample.rejected.messages)) == (1, 4)


OTHER = {"role": "user", "content": "other"}
WRONG_PAIRS: list[tuple[Any, str, str]] = [
    ({"prompt": "Q", "chosen": "A", "rejected": "A "}, "identical_pair", "rejected"),
    ({"chosen": [U, GOOD], "rejected": [U, GOOD]}, "identical_pair", "rejected"),
    ({"chosen": "Q A", "rejected": "Q A"}, "identical_pair", "rejected"),
    ({"prompt": "Q", "chosen": "", "rejected": "B"}, "empty_side", "chosen"),
    ({"prompt": "Q", "chosen": "A", "rejected": None}, "empty_side", "rejected"),
    ({"prompt": "Q", "chosen": "A", "rejected": []}, "empty_side", "rejected"),
    ({"prompt": [U], "chosen": [GOOD], "rejected": [U]}, "empty_side", "rejected"),
    ({"prompt": "Q", "chosen": "A", "rejected": 7}, "non_string_content", "rejected"),
    ({"chosen": [U, GOOD], "rejected": [OTHER, BAD]}, "prompt_mismatch", "chosen[0]"),
    ({"chosen": [GOOD], "rejected": [BAD]}, "prompt_mismatch", "chosen[0]"),
    ({"chosen": "one", "rejected": "two"}, "prompt_mismatch", "rejected"),
    (
        {"prompt": "else", "chosen": [U, GOOD], "rejected": [U, BAD]},
        "prompt_mismatch",
        "chosen",
    ),
    ({"prompt": None, "chosen": "A", "rejected": "B"}, "missing_content", "prompt"),
    (
        {"input": "Q", "preferred_output": [GOOD], "non_preferred_output": [BAD]},
        "missing_messages",
        "input",
    ),
    (
        {"input": {"messages": [7]}, "preferred_output": [GOOD], "non_preferred_output": [BAD]},
        "message_missing_key",
        "input.messages[0]",
    ),
    (
        {"preferred_output": [GOOD], "non_preferred_output": [BAD]},
        "missing_messages",
        "input",
    ),
    (
        {"prompt": "Q", "chosen": [{**GOOD, "role": "robot"}], "rejected": [BAD]},
        "unrecognized_role",
        "chosen[0].role",
    ),
    ({"foo": 1}, "missing_content", ""),
    ([U, GOOD], "missing_content", ""),
]


@pytest.mark.parametrize(("value", "check", "field"), WRONG_PAIRS)
def test_a_wrong_pair_is_named_with_its_field(value: Any, check: str, field: str) -> None:
    reading = read_sample("preference", value)
    assert reading.sample is None
    assert (check, field) in [(item.check, item.field) for item in reading.problems]


JUDGED: list[Any] = [
    {"prompt": "Q", "completion": "A", "label": True},
    {"prompt": [U], "completion": [GOOD], "label": True},
    {"messages": [U, GOOD], "label": True},
    {"messages": [U, GOOD], "kto_tag": True},
    {
        "conversations": [HUMAN, {"from": "gpt", "value": "A"}],
        "kto_tag": True,
    },
    {"instruction": "Q", "output": "A", "kto_tag": True},
    {"prompt": "Q", "completion": "A", "label": "True"},
]


@pytest.mark.parametrize("value", JUDGED)
def test_an_answer_with_a_verdict_is_judged(value: Any) -> None:
    assert shape_of(value) == "kto"
    reading = read_sample("kto", value)
    assert reading.problems == []
    sample = reading.sample
    assert isinstance(sample, UnpairedPreference)
    assert sample.answer.messages == [U, GOOD]
    assert (sample.answer.learn_from, sample.good) == (1, True)


def test_the_last_answer_is_the_one_that_is_judged() -> None:
    reading = read_sample("kto", {"messages": [U, GOOD, U, BAD, U], "label": False})
    assert isinstance(reading.sample, UnpairedPreference)
    assert reading.sample.answer.learn_from == 3
    assert [item.check for item in reading.problems] == ["last_turn_not_assistant"]


@pytest.mark.parametrize(
    ("value", "check"),
    [
        ({"prompt": "Q", "completion": "A", "label": 1}, "wrong_type_label"),
        ({"messages": [U, GOOD], "label": "yes"}, "wrong_type_label"),
        ({"messages": [U, GOOD]}, "wrong_type_label"),
        ({"prompt": "Q", "label": True}, "missing_content"),
        ({"messages": [], "label": True}, "missing_messages"),
    ],
)
def test_a_wrong_verdict_is_named(value: Any, check: str) -> None:
    reading = read_sample("kto", value)
    assert reading.sample is None
    assert check in [item.check for item in reading.problems]
