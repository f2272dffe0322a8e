"""Whatever a row holds: no reader breaks, and a row that gives no sample says why."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.problems import ERROR, NOTE, WARNING
from core.data.sample import Conversation, Preference, Reading, UnpairedPreference
from core.data.shapes.conversations import read_conversation
from core.data.shapes.detect import SHAPES, UNKNOWN, shape_of
from core.data.shapes.plain import read_plain
from core.data.shapes.read import read_sample
from core.data.shapes.turn_checks import conduct_problems
from core.data.shapes.turns import Turns
from core.paths import SAMPLE_DATA

TEMPLATE = "Q: {prompt}\nA: {completion}\n"
TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}
U, A = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}
B = {"role": "assistant", "content": "B"}
HUMAN, GPT = {"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}
CHAT = {
    "messages": [
        {"role": "system", "content": "S"},
        {**U, "name": "Eva"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "x"}]},
        {**A, "weight": 1, "thinking": "hm"},
    ],
    "tools": [TOOL],
    "parallel_tool_calls": True,
}
PAIR = {"chosen": [U, A], "rejected": [U, B]}
VALID: list[tuple[str, Any]] = [
    ("chat", CHAT),
    ("chat", {"messages": [U, A]}),
    (
        "chat",
        {
            "messages": [
                U,
                {
                    "role": "assistant",
                    "content": None,
                    "function_call": {"name": "look", "arguments": "{}"},
                },
                {"role": "function", "name": "look", "content": "x"},
                A,
            ],
            "functions": [{"name": "look"}],
        },
    ),
    (
        "sharegpt",
        {
            "conversations": [
                HUMAN,
                {"from": "function_call", "value": '{"name": "look", "arguments": {}}'},
                {"from": "observation", "value": "x"},
                GPT,
            ],
            "system": "S",
            "tools": '[{"name": "look"}]',
        },
    ),
    (
        "alpaca",
        {"instruction": "Q", "input": "I", "output": "A", "system": "S", "history": [["q", "a"]]},
    ),
    ("prompt_completion", {"prompt": "Q", "completion": "A", "system": "S"}),
    ("prompt_completion", {"prompt": [U], "completion": [A], "tools": [TOOL]}),
    ("prompt_completion", {"question": "Q", "context": "C", "answer": "A"}),
    ("template", {"prompt": "Q", "completion": "A"}),
    ("text", {"text": "x"}),
    ("pretokenised", {"input_ids": [1, 2], "labels": [-100, 2], "attention_mask": [1, 1]}),
    (
        "preference",
        {
            "input": {"messages": [U], "tools": [TOOL]},
            "preferred_output": [A],
            "non_preferred_output": [B],
        },
    ),
    ("preference", {"prompt": "Q", "chosen": "A", "rejected": "B"}),
    ("preference", PAIR),
    ("preference", {"prompt": [U], **PAIR}),
    ("preference", {"chosen": "Q A", "rejected": "Q B"}),
    (
        "preference",
        {"conversations": [HUMAN], "chosen": GPT, "rejected": {"from": "gpt", "value": "B"}},
    ),
    ("preference", {"instruction": "Q", "input": "I", "chosen": "A", "rejected": "B"}),
    ("kto", {"prompt": "Q", "completion": "A", "label": True}),
    ("kto", {"conversations": [HUMAN, GPT], "kto_tag": False}),
    ("classification", {"text": "x", "label": 1}),
    ("classification", {"premise": "x", "hypothesis": "y", "label": "same"}),
]

# The words that readers look for, so that arbitrary values come near to rows.
_WORDS = sorted(
    {
        *("messages", "role", "content", "from", "value", "user", "assistant", "system", "tool"),
        *("function", "name", "arguments", "tools", "tool_calls", "weight", "conversations"),
        *("prompt", "completion", "chosen", "rejected", "label", "kto_tag", "text", "input_ids"),
        *("labels", "attention_mask", "input", "preferred_output", "non_preferred_output"),
        *("instruction", "output", "history", "human", "gpt", "function_call", "type", "image"),
        *("question", "answer", "context", "premise", "hypothesis", "id", "thinking", "{}", "[]"),
    }
)
_words = st.sampled_from(_WORDS)
_leaves = (
    st.none()
    | st.booleans()
    | st.integers(-200, 2**70)
    | st.floats()
    | st.text(max_size=4)
    | _words
)
values = st.recursive(
    _leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(_words | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)
rows = st.dictionaries(_words, values, max_size=5) | st.lists(
    st.dictionaries(_words, values, max_size=4), min_size=1, max_size=3
)


def judge(shape: str, value: Any) -> Reading:
    """Reads a row and holds the reading to what every reader promises."""
    before = json.dumps(value)
    reading = read_sample(shape, value, TEMPLATE)
    assert json.dumps(value) == before  # a row is read by several people
    errors = [item for item in reading.problems if item.severity == ERROR]
    assert reading.sample is not None or errors
    for item in reading.problems:
        assert item.severity in (ERROR, WARNING, NOTE)
        assert item.check and item.found and item.expected and item.fix
        assert len(item.found) < 250 and len(item.expected) < 500
    for talk in conversations_of(reading):
        assert talk.messages
        assert all(isinstance(message["content"], str) for message in talk.messages)
        assert talk.learn_from < len(talk.messages)
    return reading


def conversations_of(reading: Reading) -> list[Conversation]:
    sample = reading.sample
    if isinstance(sample, Preference):
        return [sample.chosen, sample.rejected]
    if isinstance(sample, UnpairedPreference):
        return [sample.answer]
    return [sample] if isinstance(sample, Conversation) else []


@settings(max_examples=250, deadline=None)
@given(rows)
def test_any_value_gives_a_sample_or_an_error_under_every_shape(value: Any) -> None:
    assert shape_of(value) in (*SHAPES, UNKNOWN)
    for shape in (*SHAPES, UNKNOWN):
        judge(shape, value)


def mutations(value: Any, chance: random.Random) -> list[Any]:
    """The value with one thing about it changed, for every place in it."""
    found: list[Any] = []
    for path in paths(value):
        for change in (
            *(None, True, 7, -1.5, "", " ", "x", "{", [], {}, [[]], [None], {"role": "user"}),
            *("drop", "nest", "double", chance.choice(_WORDS)),
        ):
            mutant = copy.deepcopy(value)
            found.append(changed(mutant, path, change))
    return found


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside another."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, item in inner:
        found.append((*here, key))
        if isinstance(item, dict | list):
            found += paths(item, (*here, key))
    return found


def changed(value: Any, path: tuple[Any, ...], change: Any) -> Any:
    *way, last = path
    inside = value
    for key in way:
        inside = inside[key]
    if change == "drop":
        del inside[last]
    elif change == "nest":
        inside[last] = [inside[last]]
    elif change == "double":
        inside[last] = [inside[last], inside[last]]
    else:
        inside[last] = change
    return value


@pytest.mark.parametrize(("shape", "value"), VALID)
def test_a_row_with_one_thing_changed_gives_a_sample_or_an_error(shape: str, value: Any) -> None:
    assert judge(shape, value).problems == []
    assert shape in (shape_of(value), "template")
    for mutant in mutations(value, random.Random(7)):
        judge(shape, mutant)
        shape_of(mutant)


@pytest.mark.parametrize(
    ("shape", "value"), [pair for pair in VALID if pair[0] in ("chat", "sharegpt")]
)
def test_the_short_way_reads_what_the_careful_way_reads(shape: str, value: Any) -> None:
    short = 0
    talk = {"chat": {"messages": [U, A, U, B]}, "sharegpt": {"conversations": [HUMAN, GPT]}}[shape]
    for mutant in [talk, *mutations(talk, random.Random(3)), *mutations(value, random.Random(5))]:
        plain = read_plain(shape, mutant)
        if plain is None:
            continue
        short += 1
        into = Turns()
        careful = read_conversation(shape, mutant, into)
        assert careful == plain
        assert not into.fatal + into.problems
        assert not conduct_problems(plain, into.places)
    assert short


@pytest.mark.parametrize("name", ["travel.jsonl", "travel_eval.jsonl"])
def test_the_sample_conversations_take_the_short_way(name: str) -> None:
    lines = (SAMPLE_DATA / name).read_text(encoding="utf-8").splitlines()
    assert all(read_plain("chat", json.loads(line)) is not None for line in lines)
