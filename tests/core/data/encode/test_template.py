"""Chat templates: the same text as transformers, markers, refusals, where a template is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.data.encode.template import ChatTemplate, TemplateRefusal
from core.errors import AfinaError
from tests.core.data.conftest import CHATML, MARKED, REWRITING

LLAMA = """{{- bos_token }}
{%- if tools is defined and tools %}
    {{- "Tools: " }}
    {%- for tool in tools %}
        {{- tool | tojson(indent=4) }}
    {%- endfor %}
{%- endif %}
{%- for message in messages %}
    {%- if 'tool_calls' in message %}
        {%- for call in message.tool_calls %}
            {{- '<call>' + call.function.name + ' ' }}
            {{- call.function.arguments | tojson + '</call>' }}
        {%- endfor %}
    {%- else %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}
        {{- message['content'] | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
"""
LOOPS = """{% set ns = namespace(last=-1) %}
{% for message in messages %}
  {% if message.role == 'system' %}{% continue %}{% endif %}
  {% set ns.last = loop.index0 %}
    {{ loop.index }}: {{ message.content }}{{ eos_token }}
  {% if loop.index > 5 %}{% break %}{% endif %}
{% endfor %}
last {{ ns.last }} of {{ messages | length }} in {{ strftime_now('%Y') }} {{ dict(a=1).a }}
"""
PROBING = """{% for message in messages %}
{{ message.role }}={% if 'content' in message %}c{{ message.content }}{% endif %}
{%- if message.content is none %}none{% endif %}
{%- if message.thinking %}t{{ message.thinking }}{% endif %}
{%- if message.reasoning_content is defined %}r{{ message.reasoning_content }}{% endif %}
{% endfor %}tools={{ tools is none }}{{ tools }} documents={{ documents }} pad={{ pad_token }}
"""
CHAT = [
    {"role": "system", "content": "Sé amable <b>&\"'"},
    {"role": "user", "content": "  ¿Roma? \n"},
    {"role": "assistant", "content": "¡Sí! 😀", "reasoning_content": "hm"},
    {"role": "user", "content": "And then?"},
    {"role": "assistant", "content": "Home."},
]
CALL = {"type": "function", "function": {"name": "look", "arguments": {"where": "Roma é", "n": 2}}}
CALLS = [
    {"role": "user", "content": "Look"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "ok"},
    {"role": "assistant", "content": "Done", "thinking": "old name"},
]
TOOL = {"type": "function", "function": {"name": "look", "description": "¿Qué?", "parameters": {}}}


@pytest.mark.parametrize("source", [CHATML, MARKED, REWRITING, LLAMA, LOOPS, PROBING])
@pytest.mark.parametrize("prompt", [False, True])
def test_the_text_equals_that_of_transformers(
    make_model: Callable[..., Path], source: str, prompt: bool
) -> None:
    from transformers import AutoTokenizer

    folder = make_model(source)
    theirs, ours = AutoTokenizer.from_pretrained(folder), ChatTemplate.load(folder)
    cases = [(CHAT, None), (CHAT[1:2], None), (CHAT, [TOOL])]
    if source in (LLAMA, PROBING):
        cases += [(CALLS, [TOOL]), (CALLS, None)]
    for messages, tools in cases:
        expected = theirs.apply_chat_template(
            messages, tools=tools, add_generation_prompt=prompt, tokenize=False
        )
        assert ours.render(messages, tools, prompt).text == expected


def test_generation_markers_give_the_characters_of_each_answer(model: Path) -> None:
    rendered = ChatTemplate.load(model).render(CHAT)
    assert rendered.has_generation_markers
    answers = [rendered.text[start:end] for start, end in rendered.generated]
    assert answers == ["¡Sí! 😀<|im_end|>", "Home.<|im_end|>"]


def test_markers_that_the_template_moves_are_not_believed(make_model: Callable[..., Path]) -> None:
    source = (
        "{% set answer %}{% generation %}{{ messages[0].content }}{% endgeneration %}{% endset %}"
        "before {{ answer }} after"
    )
    rendered = ChatTemplate.load(make_model(source)).render([{"role": "assistant", "content": "x"}])
    assert rendered.text == "before x after"
    assert not rendered.has_generation_markers
    assert rendered.generated == []


def test_a_template_that_refuses_says_so_in_its_own_words(make_model: Callable[..., Path]) -> None:
    folder = make_model("{{ raise_exception('Only Latin here') }}")
    with pytest.raises(TemplateRefusal, match="Only Latin here"):
        ChatTemplate.load(folder).render(CHAT)


@pytest.mark.parametrize(
    "source",
    ["{{ messages[9].content.nothing }}", "{{ 1 / 0 }}", "{{ 'a' + 1 }}"],
)
def test_a_template_that_fails_is_a_refusal(make_model: Callable[..., Path], source: str) -> None:
    with pytest.raises(TemplateRefusal):
        ChatTemplate.load(make_model(source)).render(CHAT)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ namespace(_x=1) }}",
        "{% for i in range(10000000) %}{% endfor %}",
    ],
)
def test_a_template_can_not_leave_the_sandbox(make_model: Callable[..., Path], source: str) -> None:
    with pytest.raises(TemplateRefusal):
        ChatTemplate.load(make_model(source)).render(CHAT)


def test_an_error_in_a_template_names_its_line(make_model: Callable[..., Path]) -> None:
    with pytest.raises(AfinaError, match="line 2"):
        ChatTemplate.load(make_model("ok\n{% if %}")).render(CHAT)


def test_a_file_overrides_the_models_template(model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jinja"
    other.write_text("{{ eos_token }}!", encoding="utf-8")
    assert ChatTemplate.load(model, other).render(CHAT).text == "<|im_end|>!"


def test_the_template_is_found_in_the_tokenizers_configuration(
    make_model: Callable[..., Path],
) -> None:
    folder = make_model(None)
    assert ChatTemplate.find(folder) is None
    with pytest.raises(AfinaError, match="has no chat template"):
        ChatTemplate.load(folder)
    config = folder / "tokenizer_config.json"
    fields = json.loads(config.read_text())
    config.write_text(json.dumps({**fields, "chat_template": "one"}))
    assert ChatTemplate.load(folder).render(CHAT).text == "one"
    named = [
        {"name": "default", "template": "plain"},
        {"name": "tool_use", "template": "{{ tools | length }} tools"},
    ]
    config.write_text(json.dumps({**fields, "chat_template": named}))
    assert ChatTemplate.load(folder).render(CHAT).text == "plain"
    assert ChatTemplate.load(folder).render(CHAT, [TOOL]).text == "1 tools"
    (folder / "chat_template.jinja").write_text("file", encoding="utf-8")
    assert ChatTemplate.load(folder).render(CHAT).text == "file"


def test_two_threads_do_not_mix_up_their_marks(model: Path) -> None:
    template = ChatTemplate.load(model)
    talks = [[*CHAT[:2], {"role": "assistant", "content": "a" * size}] * 40 for size in (50, 80)]
    expected = [template.render(talk).generated for talk in talks]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda at: template.render(talks[at % 2]).generated, range(60)))
    assert found == [expected[at % 2] for at in range(60)]
