"""Modelfiles: what Ollama's parser reads is what was meant, whatever is in a template or a name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.sidecars.modelfile import Modelfile, can_quote, go_template, parameters_of
from exporters.sidecars.turns import Turns, turns_of
from tests.exporters.sidecars.formats import FORMATS, template_of
from tests.exporters.sidecars.test_turns import expand

TURNS = Turns("<s>", "<s>[", "]", "|", "</s>", ">")


def parse(text: str) -> list[tuple[str, str]]:
    """Commands and values as Ollama's documentation has them: a value ends with the line on which
    its quotes are closed, only the outer quotes count, and what is not printable is dropped.
    """
    commands, rest = [], text
    while rest := rest.lstrip("\n"):
        if rest.startswith("#"):
            rest = rest.partition("\n")[2]
            continue
        name, _, rest = rest.partition(" ")
        if name == "PARAMETER":
            parameter, _, rest = rest.partition(" ")
            name = f"PARAMETER {parameter}"
        value, more, rest = rest.partition("\n")
        while (found := unquote(value.strip())) is None:
            assert more, f"the quotes of {name} are never closed"
            line, more, rest = rest.partition("\n")
            value += "\n" + line
        assert all(c.isprintable() or c == "\n" for c in found)
        commands.append((name, found))
    return commands


def unquote(value: str) -> str | None:
    """The value, or None where its quotes are open."""
    for quotes in ('"""', '"'):
        if value.startswith(quotes):
            closed = len(value) >= 2 * len(quotes) and value.endswith(quotes)
            return value[len(quotes) : -len(quotes)] if closed else None
    return value


@pytest.mark.parametrize("name", FORMATS)
def test_a_template_survives_the_parser(name: str) -> None:
    turns = turns_of(template_of(FORMATS[name]))
    assert turns is not None
    system = 'Be "kind".\nAlways.'
    text = Modelfile("./x.gguf", turns=turns, system=system, stops=("</s>",)).text()
    assert parse(text) == [
        ("FROM", "./x.gguf"),
        ("TEMPLATE", go_template(turns)),
        ("SYSTEM", system),
        ("PARAMETER stop", "</s>"),
    ]


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), min_size=6, max_size=6)
)
def test_any_text_between_messages_is_printed_as_it_is(texts: list[str]) -> None:
    turns = Turns(texts[0], texts[1], texts[2], texts[3], texts[4], texts[5])
    (_, read), *_ = [c for c in parse(Modelfile("./x", turns=turns).text()) if c[0] == "TEMPLATE"]
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    for conversation in ([messages[0]], [*messages, messages[0]]):
        assert expand(read, conversation) == turns.render(conversation)


@pytest.mark.parametrize(
    "text", ['"""', '\n"""\n"""', 'x"', '"', "{{{", "a\r\tb\x1b[2J", "\u2028\U0001f600\ufeff"]
)
def test_what_would_end_a_value_or_begin_an_action_is_written_as_an_action(text: str) -> None:
    turns = Turns(text, text, text, text, text, text)
    found = dict(parse(Modelfile("./x", turns=turns, stops=("end",)).text()))
    assert found["PARAMETER stop"] == "end"
    for said in ([], [{"role": "system", "content": "s"}]):
        messages = [*said, {"role": "user", "content": "u"}]
        assert expand(found["TEMPLATE"], messages) == turns.render(messages)


def test_stop_tokens_are_quoted_and_those_that_can_not_be_are_known() -> None:
    stops = ("<|im_end|>", 'a"b', "two\nlines", "<｜end▁of▁sentence｜>")
    assert all(map(can_quote, stops))
    read = parse(Modelfile("./x", stops=stops).text())
    assert [value for name, value in read if name == "PARAMETER stop"] == list(stops)
    for impossible in ("", '"""', '""a', "\x1b", "a\u00a0b"):
        assert not can_quote(impossible)


def test_sampling_and_context_come_in_ollamas_words() -> None:
    generation = {"do_sample": True, "temperature": 0.6, "top_k": 20, "repetition_penalty": 1.05}
    found = parameters_of(generation | {"eos_token_id": 2, "top_p": None}, 131072)
    text = Modelfile("./x", parameters=found).text()
    assert parse(text)[1:] == [
        ("PARAMETER temperature", "0.6"),
        ("PARAMETER top_k", "20"),
        ("PARAMETER repeat_penalty", "1.05"),
        ("PARAMETER num_ctx", "131072"),
    ]
    assert parameters_of({"do_sample": False, "temperature": 0.6}, None) == {"temperature": 0.0}
    assert parameters_of({}, None) == {}
    assert "num_ctx 1048576\n" in Modelfile("./x", parameters=parameters_of({}, 2**20)).text()


def test_comments_can_not_become_commands() -> None:
    text = Modelfile("./x", comments=("a\nSYSTEM evil \x1b[2J\r" + "b " * 90,)).text()
    assert parse(text) == [("FROM", "./x")]
    assert all(len(line) <= 100 and line.isprintable() for line in text.splitlines())


def test_an_adapter_is_laid_over_its_base() -> None:
    text = Modelfile("./base.gguf", "./tuned-lora.gguf", TURNS).text()
    assert parse(text)[:2] == [("FROM", "./base.gguf"), ("ADAPTER", "./tuned-lora.gguf")]
