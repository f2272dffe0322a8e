"""Conversion: what a form can hold comes back equal, what it can't hold is named."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.edit.convert import LOSSES, TARGETS, UNFIT, target
from core.data.files.source import open_source
from core.data.sample import Conversation, Preference, Sample, Text, Tokens, UnpairedPreference
from core.data.shapes.detect import shape_of
from core.data.shapes.read import Reader
from core.errors import AfinaError
from core.paths import SAMPLE_DATA
from tests.core.data.samples import to_sample

SHAPES = SAMPLE_DATA / "shapes"


def back(value: dict[str, Any]) -> Sample:
    """A converted row as Afina reads it from a file."""
    value = json.loads(json.dumps(value))
    return to_sample(shape_of(value), value)


def samples(name: str, shape: str) -> list[Sample]:
    path = SAMPLE_DATA / name if name == "travel.jsonl" else SHAPES / name
    with open_source(path) as source:
        read = [Reader(shape).read(source.row(index)).sample for index in range(16)]
        assert None not in read
        return [sample for sample in read if sample is not None]


def bare(sample: Sample) -> Any:
    """What a sample says, without what no form keeps: ids of calls, and that it was two texts."""
    if isinstance(sample, Preference):
        return "pair", bare(sample.chosen), bare(sample.rejected)
    if isinstance(sample, UnpairedPreference):
        return "judged", bare(sample.answer), sample.good
    if not isinstance(sample, Conversation):
        return sample
    messages = json.loads(json.dumps(sample.messages))
    for message in messages:
        message.pop("tool_call_id", None)
        for call in message.get("tool_calls", ()):
            call.pop("id", None)
    return messages, sample.tools, sorted(sample.unlearned)


FILES = [
    ("travel.jsonl", "chat"),
    ("sharegpt_tools.jsonl", "sharegpt"),
    ("alpaca.jsonl", "alpaca"),
    ("prompt_completion.jsonl", "prompt_completion"),
    ("preference.jsonl", "preference"),
    ("kto.jsonl", "kto"),
]


@pytest.mark.parametrize(("name", "shape"), FILES)
@pytest.mark.parametrize("form", TARGETS)
def test_the_samples_come_back_from_every_form_that_holds_them(
    name: str, shape: str, form: str
) -> None:
    for sample in samples(name, shape):
        converted = target(form).convert(sample)
        if converted.value is None:
            assert (form, name) == ("alpaca", "sharegpt_tools.jsonl")
            assert converted.refusal == "tools"
            continue
        assert bare(back(converted.value)) == bare(sample)
        assert converted.losses == []


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(str.strip)
ARGUMENTS = st.dictionaries(TEXT, st.integers() | TEXT | st.booleans() | st.none(), max_size=2)


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """Any conversation: system prompt, calls of tools, names, thinking, weights."""
    messages: list[dict[str, Any]] = []
    if draw(st.booleans()):
        role = draw(st.sampled_from(["system", "developer"]))
        messages.append({"role": role, "content": draw(TEXT)})
    for _ in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(TEXT)})
        if draw(st.booleans()):
            named = {"name": "find", "arguments": draw(ARGUMENTS)}
            call = {"id": f"c{len(messages)}", "type": "function", "function": named}
            content = draw(st.just("") | TEXT)
            messages.append({"role": "assistant", "content": content, "tool_calls": [call]})
            messages.append({"role": "tool", "content": draw(TEXT), "tool_call_id": call["id"]})
        answer = {"role": "assistant", "content": draw(TEXT)}
        if draw(st.integers(0, 3)) == 0:
            answer["reasoning_content"] = draw(TEXT)
        messages.append(answer)
    answers = [n for n, message in enumerate(messages) if message["role"] == "assistant"]
    unlearned = draw(st.frozensets(st.sampled_from(answers), max_size=1))
    tool = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
    return Conversation(messages, draw(st.sampled_from([None, [tool]])), unlearned)


@settings(max_examples=80, deadline=None)
@given(conversations())
def test_openai_keeps_every_conversation(sample: Conversation) -> None:
    converted = target("openai").convert(sample)
    assert converted.value is not None and converted.losses == []
    assert back(converted.value) == sample


@settings(max_examples=80, deadline=None)
@given(conversations(), st.sampled_from(["sharegpt", "alpaca", "trl"]))
def test_a_form_keeps_everything_or_names_what_it_lost(sample: Conversation, form: str) -> None:
    converted = target(form).convert(sample)
    if converted.value is None:
        assert converted.refusal in UNFIT
        return
    assert set(converted.losses) <= LOSSES.keys()
    again = back(converted.value)
    if converted.losses:
        return
    assert bare(again) == bare(sample)
    assert bare(back(target("openai").convert(again).value or {})) == bare(sample)


def test_what_is_lost_is_named() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "developer", "content": "S"},
        {"role": "user", "content": "Q", "name": "Ana"},
        {"role": "assistant", "content": "A", "reasoning_content": "hm"},
    ]
    sample = Conversation(messages, unlearned=frozenset({2}))
    assert target("sharegpt").convert(sample).losses == ["weight", "developer", "name", "thinking"]
    assert set(target("alpaca").convert(sample).losses) == {
        *("weight", "developer", "name", "thinking"),
    }
    assert target("trl").convert(sample).losses == ["weight"]
    for form in TARGETS:
        if form != "trl":
            assert target(form).convert(Text("x")).refusal == "text"
            assert target(form).convert(Tokens([1])).refusal == "tokens"


def test_what_is_prompt_stays_unlearned() -> None:
    said = [("user", "Q"), ("assistant", "A"), ("user", "Q2"), ("assistant", "A2")]
    messages = [{"role": role, "content": content} for role, content in said]
    sample = Conversation(messages, learn_from=3)
    value = target("openai").convert(sample).value
    assert value is not None
    assert [message.get("weight") for message in value["messages"]] == [None, 0, None, None]
    assert target("trl").convert(sample).value == {
        "prompt": messages[:3],
        "completion": messages[3:],
    }
    assert target("sharegpt").convert(sample).losses == ["prompt"]


def test_trl_has_texts_as_texts_and_ids_as_ids() -> None:
    row = {"prompt": "Q", "completion": " A"}
    assert target("trl").convert(to_sample("prompt_completion", row)).value == row
    pair = {"prompt": "Q", "chosen": "A", "rejected": "B"}
    assert target("trl").convert(to_sample("preference", pair)).value == pair
    judged = {"prompt": "Q", "completion": "A", "label": False}
    assert target("trl").convert(to_sample("kto", judged)).value == judged
    assert target("trl").convert(Text("x")).value == {"text": "x"}
    assert target("trl").convert(Tokens([1, 2], [-100, 2])).value == {
        "input_ids": [1, 2],
        "labels": [-100, 2],
    }


def test_openai_calls_have_ids_and_text_for_arguments() -> None:
    row = msgspec.json.decode((SHAPES / "sharegpt_tools.jsonl").read_bytes().splitlines()[0])
    value = target("openai").convert(to_sample("sharegpt", row)).value
    assert value is not None
    call, result = (
        next(message for message in value["messages"] if message["role"] == "assistant"),
        next(message for message in value["messages"] if message["role"] == "tool"),
    )
    assert call["content"] is None
    assert json.loads(call["tool_calls"][0]["function"]["arguments"]) == {"city": "Seville"}
    assert call["tool_calls"][0]["id"] == result["tool_call_id"]


def test_other_fields_travel_along_unless_they_would_mean_something() -> None:
    row = {"instruction": "Q", "output": "A", "id": 7, "meta": {"x": [1]}, "label": 3}
    sample = to_sample("alpaca", row)
    value = target("sharegpt").convert(sample).value or {}
    assert target("sharegpt").carry(row, "alpaca", value) == ['field "label"']
    assert (value["id"], value["meta"], "label" in value) == (7, {"x": [1]}, False)
    value = target("openai").convert(sample).value or {}
    lost = target("openai").carry(row, "alpaca", value)
    assert lost == ['field "id"', 'field "meta"', 'field "label"']
    assert value.keys() == {"messages"}
    turn = {"role": "user", "content": "Q", "mood": "hungry"}
    assert target("trl").carry({"messages": [turn]}, "chat", {}) == ['field "mood" of a turn']


def test_an_unknown_form_is_named_with_the_near_one() -> None:
    with pytest.raises(AfinaError, match='Did you mean "sharegpt"'):
        target("sharegtp")
