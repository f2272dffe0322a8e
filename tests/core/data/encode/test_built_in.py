"""The chat templates that come with Afina: what they write, and for which models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from core.data.encode.encoder import Encoder
from core.data.encode.template import BUILT_IN, ChatTemplate
from core.data.report import token_pieces
from core.data.sample import Conversation
from core.errors import AfinaError

TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}
CALL = {"type": "function", "function": {"name": "look", "arguments": {"at": "Roma é"}}}
CHAT = [
    {"role": "system", "content": "S"},
    {"role": "user", "content": "Q"},
    {"role": "assistant", "content": "A"},
    {"role": "user", "content": "R"},
    {"role": "assistant", "content": "B"},
]
WRITTEN = {
    "chatml": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n"
    "<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nR<|im_end|>\n"
    "<|im_start|>assistant\nB<|im_end|>\n",
    "llama3": "<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nQ<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nR<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nB<|eot_id|>",
    "alpaca": "<s>S\n\n### Instruction:\nQ\n\n### Response:\nA<|im_end|>\n\n"
    "### Instruction:\nR\n\n### Response:\nB<|im_end|>\n\n",
}


@pytest.fixture
def model(make_model: Callable[..., Path]) -> Path:
    """A model that has the turn ends of every built-in template."""
    from tokenizers import AddedToken, Tokenizer

    folder = make_model(None)
    raw = Tokenizer.from_file(str(folder / "tokenizer.json"))
    raw.add_special_tokens([AddedToken("<|eot_id|>", normalized=False)])
    raw.save(str(folder / "tokenizer.json"))
    ends = [raw.token_to_id(name) for name in ("<|eot_id|>", "<|im_end|>")]
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    return folder


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_template_writes_its_format_and_marks_the_answers(
    model: Path, name: str
) -> None:
    encoder = Encoder.load(model, chat_template=name)
    encoding = encoder.encode(Conversation(CHAT))
    assert encoding.text == WRITTEN[name]
    assert encoder.template is not None and encoder.template.has_markers
    end = BUILT_IN[name] or "<|im_end|>"
    pairs = zip(token_pieces(encoding), encoding.supervised, strict=True)
    assert "".join(piece for piece, flag in pairs if flag) == f"A{end}B{end}"
    assert encoding.problems == []
    prompt = encoder.template.render(CHAT[:4], add_generation_prompt=True).text
    assert encoding.text.startswith(prompt + "B" + end)


@pytest.mark.parametrize("name", ["chatml", "llama3"])
def test_tools_calls_results_and_thinking_are_written(model: Path, name: str) -> None:
    messages = [
        *CHAT[:2],
        {"role": "assistant", "content": "", "tool_calls": [CALL, CALL]},
        {"role": "tool", "content": "sunny"},
        {"role": "assistant", "content": "Done", "reasoning_content": "hm"},
    ]
    encoding = Encoder.load(model, chat_template=name).encode(Conversation(messages, [TOOL]))
    assert encoding.problems == []
    assert encoding.text.count('"Roma é"') == 2
    assert "<think>\nhm\n</think>\n\nDone" in encoding.text
    assert encoding.text.count("S\n\n") == 1


def test_alpaca_refuses_what_its_format_has_no_place_for(model: Path) -> None:
    messages = [*CHAT[:2], {"role": "tool", "content": "x"}, CHAT[2]]
    (problem,) = Encoder.load(model, chat_template="alpaca").encode(Conversation(messages)).problems
    assert problem.check == "template_error"
    assert 'no messages by "tool"' in problem.found


def test_a_turn_end_that_is_no_token_of_the_model_is_refused_with_what_is_possible(
    make_model: Callable[..., Path],
) -> None:
    with pytest.raises(AfinaError, match=r'"llama3" ends turns with "<\|eot_id\|>"') as caught:
        Encoder.load(make_model(None), chat_template="llama3")
    assert "chatml, alpaca" in caught.value.hint
    folder = make_model(None, eos="<|none|>")
    with pytest.raises(AfinaError, match="alpaca"):
        Encoder.load(folder, chat_template="alpaca")


def test_a_model_that_would_not_stop_at_the_turn_end_is_said_row_by_row(
    make_model: Callable[..., Path],
) -> None:
    folder = make_model(None, eos="<|endoftext|>")
    encoding = Encoder.load(folder, chat_template="chatml").encode(Conversation(CHAT))
    (problem,) = encoding.problems
    assert problem.check == "no_stop_token_learned"
    assert token_pieces(encoding)[problem.token or 0] == "<|im_end|>"


def test_a_template_has_a_name_for_people(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text("{{ messages }}")
    assert ChatTemplate.load(model, "chatml").name == "chatml"
    assert ChatTemplate.load(model, file).name == "mine.jinja"
    (model / "chat_template.jinja").write_text("{{ messages }}")
    assert ChatTemplate.load(model).name == "the model's own"
