"""Translated templates: in every known format Go's text is the one that Jinja renders."""

from __future__ import annotations

import re
from ast import literal_eval
from typing import Any

import pytest

from exporters.sidecars.modelfile import Modelfile, go_template
from exporters.sidecars.turns import turns_of
from tests.exporters.sidecars.formats import FORMATS, template_of

CONVERSATIONS: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": 'Say "{{ .Role }}" or """.'}],
    [{"role": "system", "content": "Be terse.\nAlways."}, {"role": "user", "content": "你好"}],
    [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Two."},
        {"role": "user", "content": "Three?"},
        {"role": "assistant", "content": "Four."},
        {"role": "user", "content": "Five?"},
    ],
]
# The one shape that go_template writes.
SHAPE = re.compile(
    r"(?P<start>.*)"
    r'\{\{ range \$i, \$m := \$\.Messages \}\}\{\{ if eq \$m\.Role "user" \}\}(?P<user>.*)'
    r'\{\{ else if eq \$m\.Role "assistant" \}\}(?P<answer>.*)\{\{ end \}\}\{\{ end \}\}'
    r"(?P<open>.*)",
    re.DOTALL,
)
LED = re.compile(r"\{\{ if \$\.System \}\}(.*)\{\{ else \}\}(.*)\{\{ end \}\}", re.DOTALL)
LAST = re.compile(
    r"\{\{ if and \$\.System \(eq \(len \(slice \$\.Messages \$i\)\) 1\) \}\}(.*)\{\{ end \}\}(.*)",
    re.DOTALL,
)


def expand(template: str, messages: list[dict[str, Any]]) -> str:
    """What Go makes of that shape: text/template prints the text between actions as it is and a
    quoted string as its value; `range` goes over the messages, and `slice $.Messages $i` has one
    item at the last of them. A string is true where it isn't empty.
    """
    found = SHAPE.fullmatch(template)
    assert found is not None, template
    system = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
    led = LED.fullmatch(found["start"])
    text = value(led[1 if system else 2] if led else found["start"], system)
    for place, message in enumerate(messages):
        part = {"user": found["user"], "assistant": found["answer"]}.get(message["role"], "")
        last = LAST.fullmatch(part)
        if last is not None:
            is_last = place == len(messages) - 1
            part = (last[1] if system and is_last else "") + last[2]
        text += value(part, system, message["content"])
    return text + value(found["open"], system)


def value(part: str, system: str, content: str = "") -> str:
    """Text with actions that print."""
    known = {"$.System": system, "$m.Content": content}
    return re.sub(
        r'\{\{ (\$[\w.]+|"(?:\\.|[^"\\])*") \}\}',
        lambda action: known[action[1]] if action[1] in known else str(literal_eval(action[1])),
        part,
    )


@pytest.mark.parametrize("name", FORMATS)
def test_go_prints_what_jinja_renders(name: str) -> None:
    template = template_of(FORMATS[name])
    turns = turns_of(template)
    assert turns is not None
    for messages in CONVERSATIONS:
        rendered = template.render(messages, None, add_generation_prompt=True).text
        assert turns.render(messages) == rendered
        assert expand(go_template(turns), messages) == rendered


def test_where_the_system_message_stands_is_found_not_assumed() -> None:
    found = {name: turns_of(template_of(source)) for name, source in FORMATS.items()}
    assert [name for name, turns in found.items() if turns and turns.system_last] == ["mistral"]
    llama2, smollm3 = found["llama2"], found["smollm3"]
    assert llama2 is not None and llama2.after_system == "\n<</SYS>>\n\n"
    assert smollm3 is not None and "You are helpful." in smollm3.start
    assert "You are helpful." not in smollm3.before_system


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("llama3", "trims the space"),
        ("smollm3", "changes thoughts in earlier answers"),
        ("granite", "tells the date of the day"),
    ],
)
def test_what_text_alone_can_not_do_is_said(name: str, words: str) -> None:
    turns = turns_of(template_of(FORMATS[name]))
    assert turns is not None
    assert any(words in note for note in turns.notes)
    assert "# " in Modelfile("./x.gguf", turns=turns).text()
    plain = turns_of(template_of(FORMATS["zephyr"]))
    assert plain is not None and plain.notes == ()


def test_a_system_message_that_is_refused_or_passed_over_is_told() -> None:
    refusing = FORMATS["zephyr"].replace(
        "{%- for",
        "{%- if messages[0].role == 'system' -%}{{- raise_exception('no') -}}{%- endif -%}{%- for",
    )
    dropping = FORMATS["zephyr"].replace("messages -%}", "messages if m.role != 'system' -%}")
    for source in (refusing, dropping):
        turns = turns_of(template_of(source))
        assert turns is not None and not turns.knows_system
        assert "no place for a system message" in turns.notes[0]
        assert "$.System" not in go_template(turns)


@pytest.mark.parametrize(
    "source",
    [
        FORMATS["chatml"].replace("m.role + '\\n'", "m.role ~ loop.index"),
        FORMATS["chatml"].replace("m.content", "m.content | upper"),
        FORMATS["chatml"].replace("m.content", "m.content | replace('{', '(')"),
        "{{ raise_exception('never') }}",
        "{{ messages | tojson }}",
        "nothing",
    ],
    ids=["counts", "upper", "replaces", "refuses", "json", "constant"],
)
def test_a_template_that_does_more_is_not_translated(source: str) -> None:
    assert turns_of(template_of(source)) is None


def test_tools_that_the_template_knows_are_said_to_be_lost() -> None:
    template = template_of("{%- if tools -%}{{- tools | tojson -}}{%- endif -%}" + FORMATS["phi3"])
    turns = turns_of(template)
    assert turns is not None and "Tools are not translated" in turns.notes[0]
