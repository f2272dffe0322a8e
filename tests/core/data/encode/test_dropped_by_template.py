"""What templates of the field do in silence: tools, calls, thoughts and turns they leave out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.data.encode.encoder import Encoder, Encoding
from core.data.encode.template import BUILT_IN
from core.data.report import token_pieces
from core.data.sample import Conversation
from tests.core.data.encode.styles import STYLES

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
CALL = {
    "id": "abcdefghi",
    "type": "function",
    "function": {"name": "look", "arguments": {"where": "Roma é"}},
}
CALLS: list[dict[str, Any]] = [
    {"role": "user", "content": "Look there"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "It is sunny", "tool_call_id": "abcdefghi"},
    {"role": "assistant", "content": "Sunny weather"},
]
SYSTEM = {"role": "system", "content": "Be nice"}
THINKING: list[dict[str, Any]] = [
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "Eins.", "reasoning_content": "It is German."},
    {"role": "user", "content": "Two?"},
    {"role": "assistant", "content": "Zwei.", "reasoning_content": "Still German."},
]
PLAIN = [{key: turn[key] for key in ("role", "content")} for turn in THINKING]

Encode = Callable[..., Encoding]


@pytest.fixture(scope="module")
def encode(make_model: Callable[..., Path]) -> Encode:
    """encode(style, messages, tools) -> the encoding, with places."""
    encoders: dict[str, Encoder] = {}

    def run(style: str, messages: list[dict[str, Any]], tools: Any = None) -> Encoding:
        if style not in encoders:
            name = style if style in BUILT_IN and style not in STYLES else None
            folder = make_model(None if name else STYLES.get(style, style))
            encoders[style] = Encoder.load(folder, chat_template=name)
        return encoders[style].encode(Conversation(messages, tools))

    return run


def found(encoding: Encoding, check: str) -> list[str]:
    """The fields of a check's problems."""
    return [item.field for item in encoding.problems if item.check == check]


def learned(encoding: Encoding) -> str:
    pairs = zip(token_pieces(encoding), encoding.supervised, strict=True)
    return "".join(piece for piece, flag in pairs if flag)


@pytest.mark.parametrize("style", ["llama3", "qwen2.5", "qwen3", "mistral", "chatml"])
def test_templates_with_tools_show_them_and_their_calls(encode: Encode, style: str) -> None:
    encoding = encode(style, CALLS, [TOOL])
    names = {item.check for item in encoding.problems}
    assert not [name for name in names if name.endswith("_not_rendered")]
    assert "look" in learned(encoding)
    assert "Sunny weather" in learned(encoding)
    assert "It is sunny" not in learned(encoding)


@pytest.mark.parametrize("style", ["gemma", "phi", "alpaca"])
def test_tools_that_a_template_leaves_out_are_said(encode: Encode, style: str) -> None:
    encoding = encode(style, PLAIN, [TOOL])
    assert found(encoding, "tools_not_rendered") == ["tools"]
    assert found(encode(style, PLAIN), "tools_not_rendered") == []


def test_calls_that_a_template_leaves_out_are_an_error_at_the_message(encode: Encode) -> None:
    encoding = encode("phi", CALLS, [TOOL])
    assert found(encoding, "tool_calls_not_rendered") == ["messages[1].tool_calls"]
    (problem,) = [item for item in encoding.problems if item.check == "tool_calls_not_rendered"]
    assert problem.severity == "error"
    _, start, end = encoding.segments[1]
    assert start <= encoding.offsets[problem.token or 0][0] < end


def test_arguments_of_calls_that_a_template_leaves_out_are_an_error(encode: Encode) -> None:
    source = (
        "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}"
        "{{ c.function.name }}{% endfor %}<|im_end|>{% endfor %}"
    )
    encoding = encode(source, CALLS)
    assert found(encoding, "tool_calls_not_rendered") == ["messages[1].tool_calls"]


def test_a_template_that_wants_calls_of_another_kind_refuses_in_its_own_words(
    encode: Encode,
) -> None:
    calls = [CALLS[0], {**CALLS[1], "tool_calls": [{**CALL, "id": "short"}]}, *CALLS[2:]]
    (problem,) = encode("mistral", calls, [TOOL]).problems
    assert problem.check == "template_error"
    assert "length 9" in problem.found
    assert [item.check for item in encode("deepseek", CALLS, [TOOL]).problems] == ["template_error"]


def test_a_refused_system_message_is_named_as_what_is_in_the_way(encode: Encode) -> None:
    (problem,) = encode("gemma", [SYSTEM, *PLAIN]).problems
    assert (problem.check, problem.field) == ("template_error", "messages[0]")
    assert "System role not supported" in problem.found
    assert "first user message" in problem.fix


def test_a_system_message_that_is_left_out_is_said(encode: Encode) -> None:
    source = (
        "{% for m in messages if m.role != 'system' %}{{ m.content + '<|im_end|>' }}{% endfor %}"
    )
    encoding = encode(source, [SYSTEM, *PLAIN])
    assert found(encoding, "system_not_rendered") == ["messages[0].content"]


def test_results_of_tools_that_a_template_leaves_out_are_said(encode: Encode) -> None:
    source = (
        "{% for m in messages if m.role != 'tool' %}{{ m.content }}"
        "{{ m.tool_calls | tojson if m.tool_calls else '' }}<|im_end|>{% endfor %}"
    )
    assert found(encode(source, CALLS), "content_not_rendered") == ["messages[2].content"]


def test_turns_that_do_not_alternate_are_refused_in_the_templates_words(encode: Encode) -> None:
    (problem,) = encode("mistral", [*PLAIN[:1], *PLAIN]).problems
    assert problem.check == "template_error"
    assert "alternate" in problem.found


def test_thinking_that_is_taken_out_later_is_said_at_each_message_concerned(
    encode: Encode,
) -> None:
    longer = [*THINKING, *THINKING]
    encoding = encode("qwen3", longer)
    rewritten = ["messages[1]", "messages[3]", "messages[5]"]
    assert found(encoding, "template_rewrites_history") == rewritten
    for problem in encoding.problems:
        index = int(problem.field[9])
        assert encoding.offsets[problem.token or 0][0] == encoding.segments[index][1]
    assert "Still German" in learned(encoding)
    assert found(encoding, "thinking_not_rendered") == []


def test_thinking_that_is_never_shown_is_said(encode: Encode) -> None:
    fields = [f"messages[{index}].reasoning_content" for index in (1, 3)]
    assert found(encode("phi", THINKING), "thinking_not_rendered") == fields
    assert found(encode("chatml", THINKING), "thinking_not_rendered") == []


def test_a_template_that_closes_the_text_does_not_rewrite_it(encode: Encode) -> None:
    encoding = encode("phi", PLAIN)
    assert found(encoding, "template_rewrites_history") == []
    assert learned(encoding).startswith("Eins.")


def test_the_system_text_that_wanders_to_the_last_turn_is_a_rewriting(encode: Encode) -> None:
    encoding = encode("mistral", [SYSTEM, *PLAIN, {"role": "user", "content": "Three?"}])
    assert found(encoding, "template_rewrites_history") == ["messages[2]", "messages[4]"]


def test_named_templates_are_chosen_by_whether_there_are_tools(
    make_model: Callable[..., Path],
) -> None:
    folder = make_model("{% for m in messages %}{{ m.content }}{% endfor %}<|im_end|>")
    more = folder / "additional_chat_templates"
    more.mkdir()
    (more / "tool_use.jinja").write_text(
        "{{ tools | tojson }}{% for m in messages %}{{ m.content }}{% endfor %}<|im_end|>"
    )
    encoder = Encoder.load(folder)
    assert "look" not in encoder.encode(Conversation(PLAIN)).text
    with_tools = encoder.encode(Conversation(PLAIN, [TOOL]))
    assert json.loads(with_tools.text.split("One?")[0]) == [TOOL]
    assert found(with_tools, "tools_not_rendered") == []
