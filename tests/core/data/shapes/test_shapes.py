"""Conversations and texts: what a row becomes, and the words for rows that are wrong."""

from __future__ import annotations

from typing import Any

import pytest

from core.data.files.source import Row
from core.data.problems import problem
from core.data.sample import Conversation, Text
from core.data.shapes.detect import shape_of
from core.data.shapes.read import Reader, read_sample
from tests.core.data.samples import RowRefused, to_sample

U, A = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}
S, D = {"role": "system", "content": "S"}, {"role": "user", "content": "D"}
ARGUMENTS = '{"city": "Rome"}'
CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "look", "arguments": {"city": "Rome"}},
}
CALL_ON_DISK = {**CALL, "function": {"name": "look", "arguments": ARGUMENTS}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}
HUMAN, GPT = {"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}

GOOD: list[tuple[str, Any, list[dict[str, Any]]]] = [
    ("chat", {"messages": [S, U, A]}, [S, U, A]),
    ("chat", [U, A], [U, A]),
    ("chat", {"messages": [{**U, "name": "Eva"}, A]}, [{**U, "name": "Eva"}, A]),
    (
        "chat",
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Q"}, "!"]}, A]},
        [{"role": "user", "content": "Q!"}, A],
    ),
    (
        "chat",
        {"messages": [U, {**A, "thinking": "hm"}]},
        [U, {**A, "reasoning_content": "hm"}],
    ),
    (
        "chat",
        {"messages": '[{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]'},
        [U, A],
    ),
    ("sharegpt", {"conversations": [HUMAN, GPT]}, [U, A]),
    ("sharegpt", {"conversations": [HUMAN, GPT], "system": "S"}, [S, U, A]),
    ("sharegpt", {"messages": [HUMAN, GPT]}, [U, A]),
    ("sharegpt", {"conversation": [U, A]}, [U, A]),
    (
        "sharegpt",
        {"dialogue": [{"speaker": "user", "text": "Q"}, {"speaker": "bot", "text": "A"}]},
        [U, A],
    ),
    (
        "sharegpt",
        {"turns": [{"role": "human", "value": "Q"}, {"from": "gpt", "content": "A"}]},
        [U, A],
    ),
    ("alpaca", {"instruction": "Q", "output": "A"}, [U, A]),
    (
        "alpaca",
        {
            "instruction": "Q",
            "input": "more",
            "output": "A",
            "system": "S",
            "history": [["Q", "A"]],
        },
        [S, U, A, {"role": "user", "content": "Q\n\nmore"}, A],
    ),
    ("prompt_completion", {"prompt": "Q", "completion": "A"}, [U, A]),
    ("prompt_completion", {"prompt": [S, U], "completion": [A]}, [S, U, A]),
    ("prompt_completion", {"prompt": [S, U], "completion": "A"}, [S, U, A]),
    ("prompt_completion", {"question": "Q", "answer": "A"}, [U, A]),
    (
        "prompt_completion",
        {"question": "Q", "context": "C", "answer": "A"},
        [{"role": "user", "content": "Q\n\nC"}, A],
    ),
    ("prompt_completion", {"system_prompt": "S", "question": "Q", "response": "A"}, [S, U, A]),
    ("prompt_completion", {"system": "S", "question": "Q", "answer": "A"}, [S, U, A]),
    ("prompt_completion", {"query": "Q", "response": "A"}, [U, A]),
    (
        "prompt_completion",
        {"instruction": "Q", "input": "C", "response": "A"},
        [{"role": "user", "content": "Q\n\nC"}, A],
    ),
    (
        "prompt_completion",
        {"prompt": "Q", "response": "A", "history": [["Q", "A"]]},
        [U, A, U, A],
    ),
    ("prompt_completion", {"system": "S", "prompt": [U], "completion": [A]}, [S, U, A]),
    ("prompt_completion", {"input": "Q", "output": "A"}, [U, A]),
]


@pytest.mark.parametrize(("shape", "value", "messages"), GOOD)
def test_a_row_becomes_the_messages_that_templates_want(
    shape: str, value: Any, messages: list[dict[str, Any]]
) -> None:
    assert shape_of(value) == shape
    sample = to_sample(shape, value)
    assert isinstance(sample, Conversation)
    assert sample.messages == messages
    assert read_sample(shape, value).problems == []


@pytest.mark.parametrize("key", ["text", "content", "raw_content"])
def test_a_text_stays_as_it_is(key: str) -> None:
    assert shape_of({key: " x\n"}) == "text"
    assert to_sample("text", {key: " x\n"}) == Text(" x\n")


def test_tool_calls_have_their_arguments_as_objects() -> None:
    turns = [
        U,
        {"role": "assistant", "content": None, "tool_calls": [CALL_ON_DISK]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        A,
    ]
    sample = to_sample("chat", {"messages": turns, "tools": [TOOL]})
    assert isinstance(sample, Conversation)
    assert sample.tools == [TOOL]
    assert sample.messages[1] == {"role": "assistant", "content": "", "tool_calls": [CALL]}
    assert sample.messages[2]["tool_call_id"] == "c1"
    assert read_sample("chat", {"messages": turns, "tools": [TOOL]}).problems == []


def test_the_old_spelling_of_function_calls_is_read() -> None:
    old = {"name": "look", "arguments": ARGUMENTS}
    turns = [
        U,
        {"role": "assistant", "content": None, "function_call": old},
        {"role": "function", "name": "look", "content": "sunny"},
        A,
    ]
    sample = to_sample("chat", {"messages": turns, "functions": [{"name": "look"}]})
    assert isinstance(sample, Conversation)
    assert sample.tools == [{"type": "function", "function": {"name": "look"}}]
    assert sample.messages[1]["tool_calls"][0]["function"]["arguments"] == {"city": "Rome"}
    assert sample.messages[2]["role"] == "tool"


def test_a_tool_without_an_envelope_gets_one() -> None:
    value = {"messages": [U, A], "tools": [{"type": "function", "name": "look"}, TOOL]}
    sample = to_sample("chat", value)
    assert isinstance(sample, Conversation)
    assert sample.tools == [{"type": "function", "function": {"name": "look"}}, TOOL]


def test_sharegpt_calls_and_tools_are_json_text() -> None:
    value = {
        "conversations": [
            HUMAN,
            {"from": "function_call", "value": '{"name": "look", "arguments": {"city": "Rome"}}'},
            {"from": "observation", "value": "sunny"},
            GPT,
        ],
        "tools": '[{"name": "look"}]',
    }
    reading = read_sample("sharegpt", value)
    assert reading.problems == []
    assert isinstance(reading.sample, Conversation)
    assert [message["role"] for message in reading.sample.messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert reading.sample.messages[1]["tool_calls"][0]["function"] == CALL["function"]


def test_what_is_wrong_with_the_line_stands_with_the_problems_of_the_row() -> None:
    broken = problem("invalid_json", "", "x", "y", "z")
    assert Reader("chat").read(Row(0, 1, None, broken)).problems == [broken]
    repeated = problem("duplicate_key", "", "x", "y", "z", "warning")
    reading = Reader("text").read(Row(0, 1, {"text": "\x07"}, None, (repeated,)))
    assert reading.sample is not None
    assert [item.check for item in reading.problems] == ["duplicate_key", "control_characters"]


def call(function: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [{"function": function}], **more}


CHAT_PROBLEMS: list[tuple[Any, str, str]] = [
    ({"foo": 1}, "missing_messages", "messages"),
    ({"messages": []}, "missing_messages", "messages"),
    ({"messages": "hello"}, "missing_messages", "messages"),
    ({"messages": ["hello", A]}, "message_missing_key", "messages[0]"),
    ({"messages": [{"content": "Q"}, A]}, "message_missing_key", "messages[0].role"),
    ({"messages": [{**U, "mood": 1}, A]}, "unrecognized_key", "messages[0].mood"),
    ({"messages": [{**U, "role": "human"}, A]}, "unrecognized_role", "messages[0].role"),
    ({"messages": [{**U, "role": 7}, A]}, "unrecognized_role", "messages[0].role"),
    ({"messages": [{"role": "user"}, A]}, "missing_content", "messages[0].content"),
    ({"messages": [U, {**A, "content": None}]}, "missing_content", "messages[1].content"),
    ({"messages": [{**U, "content": 7}, A]}, "non_string_content", "messages[0].content"),
    ({"messages": [{**U, "content": [7]}, A]}, "non_string_content", "messages[0].content[0]"),
    (
        {"messages": [{**U, "content": [{"type": "image_url", "image_url": {}}]}, A]},
        "unsupported_media",
        "messages[0].content[0]",
    ),
    ({"messages": [U, A], "images": ["a.png"]}, "unsupported_media", "images"),
    ({"messages": [{**U, "name": 7}, A]}, "non_string_content", "messages[0].name"),
    ({"messages": [{**U, "weight": 0.5}, A]}, "bad_weight", "messages[0].weight"),
    ({"messages": [{**U, "from": "user"}, A]}, "unrecognized_key", "messages[0].from"),
    ({"messages": [U, {**A, "audio": {"id": "a"}}]}, "unsupported_media", "messages[1].audio"),
    ({"messages": [U, A], "system": 7}, "non_string_content", "system"),
    ({"messages": [U, A], "tool": [TOOL]}, "unrecognized_key", "tool"),
    ({"messages": [U, A], "tools": "{"}, "bad_tool_call", "tools"),
    ({"messages": [U, A], "tools": [{}]}, "bad_tool_call", "tools[0]"),
    (
        {"messages": [{**U, "tool_calls": [CALL_ON_DISK]}, A]},
        "bad_tool_call",
        "messages[0].tool_calls",
    ),
    ({"messages": [S, U]}, "no_assistant_message", "messages"),
    ({"messages": [U, A, U]}, "last_turn_not_assistant", "messages[2]"),
    ({"messages": [U, U, A]}, "consecutive_same_role", "messages[1]"),
    ({"messages": [U, {**A, "content": " \n"}]}, "empty_content", "messages[1]"),
    (
        {"messages": [U, call({"name": "f", "arguments": "{"}), A]},
        "bad_tool_call",
        "messages[1].tool_calls[0].function.arguments",
    ),  # noqa: E501
    (
        {"messages": [U, call({"name": "f", "arguments": "[1]"})]},
        "bad_tool_call",
        "messages[1].tool_calls[0].function.arguments",
    ),  # noqa: E501
    ({"messages": [U, call({"arguments": "{}"})]}, "bad_tool_call", "messages[1].tool_calls[0]"),
    ({"messages": [U, {**A, "tool_calls": "f()"}]}, "bad_tool_call", "messages[1].tool_calls"),
    (
        {"messages": [U, call({"name": "f"})], "tools": [TOOL]},
        "unknown_tool",
        "messages[1].tool_calls",
    ),
    (
        {"messages": [U, {"role": "tool", "content": "x"}, A]},
        "tool_result_without_call",
        "messages[1]",
    ),
    ({"messages": [{**U, "content": "a\x1b[0m"}, A]}, "control_characters", "messages[0]"),
]


@pytest.mark.parametrize(("value", "check", "field"), CHAT_PROBLEMS)
def test_a_wrong_conversation_is_named_with_its_field(value: Any, check: str, field: str) -> None:
    problems = read_sample("chat", value).problems
    assert (check, field) in [(item.check, item.field) for item in problems]
    for item in problems:
        assert item.found
        assert item.expected
        assert item.fix
        assert item.severity in ("error", "warning", "note")


def test_a_long_name_or_a_thousand_of_them_fit_in_a_sentence() -> None:
    long = "x" * 10_000
    turns = [{**U, long: 1, "role": long}, {**A, long: 1}, {str(n): n for n in range(1_000)}]
    turns += [{"role": "user", "content": [{"type": long}]}, {**call({"name": long})}]
    value = {"messages": turns, long: 1}
    tools = [{"name": f"tool {n}"} for n in range(1_000)]
    for item in (
        *read_sample("chat", value).problems,
        *read_sample("chat", {"messages": [U, call({"name": long})], "tools": tools}).problems,
        *read_sample("chat", {str(n): n for n in range(1_000)}).problems,
        *read_sample("template", {str(n): n for n in range(1_000)}, "{a}").problems,
    ):
        assert len(item.found) < 200 and len(item.expected) < 250 and len(item.field) < 200


def test_keys_that_keep_a_file_in_order_or_are_empty_are_no_problem() -> None:
    value = {
        "messages": [U, A],
        "id": 7,
        "source": "x",
        "tools": None,
        "note": None,
        "tags": [],
        "chat_id": 7,
    }
    assert read_sample("chat", value).problems == []


def test_a_message_of_weight_0_is_not_learned() -> None:
    turns = [U, {**A, "weight": 0}, U, {**A, "weight": 1}]
    sample = to_sample("chat", {"messages": turns})
    assert isinstance(sample, Conversation)
    assert sample.unlearned == {1}
    assert all("weight" not in message for message in sample.messages)


def test_a_row_that_can_not_become_a_sample_raises_all_that_stands_in_its_way() -> None:
    turns = [{"role": "human", "content": "Q"}, {"role": "assistant", "content": 7}]
    with pytest.raises(RowRefused) as caught:
        to_sample("chat", {"messages": turns})
    assert [item.check for item in caught.value.problems] == [
        "unrecognized_role",
        "non_string_content",
    ]


def test_a_tool_result_must_carry_the_id_of_a_call() -> None:
    turns = [
        U,
        {"role": "assistant", "content": None, "tool_calls": [CALL_ON_DISK]},
        {"role": "tool", "tool_call_id": "other", "content": "x"},
        A,
    ]
    checks = [item.check for item in read_sample("chat", {"messages": turns}).problems]
    assert checks == ["tool_result_without_call"]


@pytest.mark.parametrize(
    ("shape", "value", "check"),
    [
        ("alpaca", {"instruction": "Q"}, "missing_content"),
        ("alpaca", {"instruction": 1, "output": "A"}, "non_string_content"),
        ("alpaca", {"instruction": "Q", "output": "A", "history": [["Q"]]}, "message_missing_key"),
        ("alpaca", {"instruction": "Q", "output": "A", "history": 7}, "non_string_content"),
        ("alpaca", [U, A], "missing_content"),
        ("prompt_completion", {"prompt": "Q"}, "missing_content"),
        ("prompt_completion", {"prompt": [U], "completion": []}, "missing_messages"),
        ("prompt_completion", {"prompt": "Q", "completion": {}}, "non_string_content"),
        ("text", {"text": None}, "missing_content"),
        ("text", {"text": 7}, "non_string_content"),
        ("text", {"text": " \n"}, "empty_content"),
        ("text", {"foo": 7}, "missing_content"),
        ("text", [U, A], "missing_content"),
        ("prompt_completion", [U, A], "missing_content"),
        ("sharegpt", {"conversations": [{"from": "martian", "value": "x"}]}, "unrecognized_role"),
        ("sharegpt", {"conversations": [{"value": "x"}]}, "message_missing_key"),
    ],
)
def test_wrong_rows_of_the_other_shapes_are_refused_by_name(
    shape: str, value: Any, check: str
) -> None:
    reading = read_sample(shape, value)
    assert reading.sample is None
    assert check in [item.check for item in reading.problems]
