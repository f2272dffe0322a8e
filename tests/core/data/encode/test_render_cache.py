"""Writing rows down without rendering each: the same as rendering, for every template and text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.encode.encoder import SUPERVISE, Encoder
from core.data.encode.encoding import Encoding
from core.data.encode.render_cache import RenderCache
from core.data.encode.template import BUILT_IN, ChatTemplate, template_text
from core.data.sample import Conversation
from tests.core.data.conftest import TEMPLATES
from tests.core.data.encode.styles import STYLES

ALL = {**STYLES, **TEMPLATES, **{f"our {name}": template_text(name) for name in BUILT_IN}}
CONTENT = st.text(max_size=10) | st.sampled_from(
    [
        "Where should I eat?",
        "¿Qué comer? 😀 ñ",
        "日本語のテキスト",
        "שלום עולם",
        "e\u0301a\u0308",
        " both ends ",
        "\n",
        "</think>",
        "<think>a</think>b",
        "<tool_response>x</tool_response>",
        "a<|im_end|>b",
        "{{ messages }}",
        "\U0010fffe0\U0010ffff",
    ]
)


def test_a_conversation_of_known_structure_is_not_rendered_again(
    make_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    template = ChatTemplate.load(make_model("marked"))
    skeletons = RenderCache(template, "assistant")
    first = skeletons.fill(conversation("Q", "A", "R", "B"))
    assert first is not None
    monkeypatch.setattr(ChatTemplate, "fields", None)
    text, spans, _ = skeletons.fill(conversation("Qs", "😀 As", "Rs", "Bs")) or ("", [], [])
    assert [text[start:end] for start, end in spans] == ["😀 As<|im_end|>", "Bs<|im_end|>"]


@pytest.mark.parametrize("style", sorted(ALL))
def test_templates_that_only_write_contents_down_are_followed(style: str) -> None:
    template = ChatTemplate({"default": ALL[style]}, {"bos_token": "<s>", "eos_token": "</s>"})
    sample = conversation("Where?", "Rome é", "And then?", "Home.")
    filled = RenderCache(template, "assistant").fill(sample)
    assert filled is not None
    assert filled[0] == template.render(sample.messages).text


@pytest.mark.parametrize(
    "use",
    [
        "{{ m.content | upper }}",
        "{{ m.content[0] }}",
        "{{ m.content.split('a')[0] }}",
        "{{ m.content | length }}",
        "{{ m | tojson }}",
        "{{ '%s' % m.content }}",
        "{{ '{}'.format(m.content) }}",
        "{{ [m.content] | join }}",
        "{{ ('a' ~ m.content) | replace('b', 'c') }}",
        "{% for c in m.content %}{{ c }}.{% endfor %}",
        "{% set x %}{{ m.content }}{% endset %}{{ x | upper }}",
        "{{ m.content in 'abc' }}",
        "{{ 'yes' if m.content == messages[0].content else 'no' }}",
        "{{ {m.content: 1} | length }}",
        "{{ m.content < 'q' }}",
        "{{ messages | map(attribute='content') | join(',') }}",
        "{{ m.content is upper }}",
        "{{ loop.changed(m.content) }}",
        "{{ m.content * 2 }}",
        "{% set ns = namespace(t='') %}{% set ns.t = ns.t + m.content %}{{ ns.t | title }}",
        "{% macro f(x) %}{{ x }}{% endmacro %}{{ f(m.content) | reverse }}",
    ],
)
def test_a_template_that_looks_into_contents_is_not_followed(use: str) -> None:
    source = "{% for m in messages %}{{ m.content }}" + use + "{% endfor %}"
    template = ChatTemplate({"default": source}, {})
    sample = conversation("ab", "cd")
    assert template.render(sample.messages).text
    assert RenderCache(template, "all").fill(sample) is None


def test_a_question_about_a_content_becomes_a_condition() -> None:
    source = (
        "{% for m in messages %}{% if 'x' in m.content %}[{{ m.content }}]"
        "{% else %}{{ m.content }}{% endif %}{% endfor %}"
    )
    template = ChatTemplate({"default": source}, {})
    skeletons = RenderCache(template, "all")
    assert skeletons.fill(conversation("ax", "b")) is None
    assert skeletons.fill(conversation("a", "bx")) is None
    filled = skeletons.fill(conversation("a", "b"))
    assert filled is not None and filled[0] == "ab"


def test_a_template_with_a_date_is_written_with_todays(monkeypatch: pytest.MonkeyPatch) -> None:
    source = "{{ strftime_now('%f') }}{% for m in messages %}{{ m.content }}{% endfor %}"
    skeletons = RenderCache(ChatTemplate({"default": source}, {}), "all")
    skeletons.fill(conversation("a", "b"))
    assert skeletons.fill(conversation("a", "b")) is None  # another microsecond


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(ALL)),
    st.booleans(),
    st.lists(st.tuples(CONTENT, CONTENT), min_size=1, max_size=3),
    st.sampled_from(SUPERVISE),
    st.sampled_from([None, 5, 30]),
    st.sets(st.integers(0, 6), max_size=2),
    st.sampled_from([0, 0, 2]),
)
def test_every_row_is_encoded_as_by_rendering(
    models: dict[str, Encoder],
    style: str,
    system: bool,
    turns: list[tuple[str, str]],
    supervise: str,
    limit: int | None,
    unlearned: set[int],
    start: int,
) -> None:
    known = models[style]
    encoder = Encoder(known.tokenizer, known.template, limit, supervise)
    sample = conversation(*(text for turn in turns for text in turn))
    if system:
        sample.messages.insert(0, {"role": "system", "content": "Be nice"})
    sample.unlearned, sample.learn_from = frozenset(unlearned), start
    slow = encoder.encode(sample, segments=True)
    for _ in range(2):  # the second time from memory
        fast = encoder.encode_many([sample])[0]
        assert without_places(fast) == without_places(slow)


@pytest.fixture(scope="module")
def models(make_model: Callable[..., Path]) -> dict[str, Encoder]:
    return {name: Encoder.load(make_model(source)) for name, source in ALL.items()}


def conversation(*contents: str) -> Conversation:
    """The contents in turn by the user and the assistant."""
    roles = ("user", "assistant")
    return Conversation(
        [{"role": roles[at % 2], "content": text} for at, text in enumerate(contents)]
    )


def without_places(encoding: Encoding) -> Encoding:
    """An encoding as far as both ways know it.

    Where a template rewrites, rendering alone has to search for the turn by its words.
    """
    problems = [
        msgspec.structs.replace(item, token=None)
        if item.check == "template_rewrites_history"
        else item
        for item in encoding.problems
    ]
    return msgspec.structs.replace(encoding, offsets=[], segments=[], problems=problems)
