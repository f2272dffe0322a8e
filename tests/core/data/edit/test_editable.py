"""A row as text: whatever it holds comes back the very same, and reads well."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.data.edit.editable import dump_row, parse_row, same
from core.errors import AfinaError

WORDS = st.sampled_from(
    ["yes", "no", "null", "~", "on", "1", "1.0", "0x1f", "1_000", "12:30", "2024-01-01", ".inf"]
    + ["- a", "a: b", "# x", "*x", "&x", "!x", "a ", " a", "\ta", "a\t", "a \nb", "a\n", "\n", ""]
    + ["{a", "[a", "a\r\nb", "\x00", "\x1b[31m", "\x85", "\u2028", "\ufeff", "😀", "-", "?", "|"]
    + ["true", "1e5", "NaN", "-Infinity", "-0", "'", '"', "%", "@", "`", "\x7f", "<<", "=", "..."]
    + ["---\nx", "  lead\nless", "a\n\n\nb\n\n", "\n a", "x: |\n y", "\ud83d", "01", "+1"]
)
TEXTS = st.text(max_size=30) | WORDS
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=250, deadline=None)
@given(VALUES)
@example({"a": -0.0, "b": 1e400, "c": 10**30, "d": float("nan"), "": {}, "e": []})
@example("\x85")
def test_any_value_comes_back_the_very_same(value: Any) -> None:
    assert same(parse_row(dump_row(value)), value)


def test_long_text_stands_in_blocks_and_a_row_is_no_json() -> None:
    row = {
        "messages": [
            {"role": "user", "content": "¿Qué?\n\nDos líneas: sí\n  y sangría"},
            {"role": "assistant", "content": "no", "weight": 0},
        ]
    }
    assert dump_row(row) == (
        "messages:\n"
        "  - role: user\n"
        "    content: |-\n"
        "      ¿Qué?\n"
        "\n"
        "      Dos líneas: sí\n"
        "        y sangría\n"
        "  - role: assistant\n"
        "    content: no\n"
        "    weight: 0\n"
    )


def test_words_that_yaml_takes_for_something_else_stay_text() -> None:
    value = parse_row("label: no\nday: 2024-01-01\ntime: 12:30\n1: ~\nnumber: 1\nempty:\n")
    assert value == {
        "label": "no",
        "day": "2024-01-01",
        "time": "12:30",
        "1": "~",
        "number": 1,
        "empty": "",
    }


def test_json_is_taken_too() -> None:
    assert parse_row(' {"a": [1, true, null]}') == {"a": [1, True, None]}
    assert dump_row([{"a": 1}]) == "- a: 1\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1,\n  b}', "not JSON at line 2, column 3"),
        ('{"a": 1, "a": 2}', 'The key "a" stands twice'),
        ("a: 1\nb: 'x\n", "not YAML at line 3, column 1"),
        ("a: 1\na: 2\n", 'line 2, column 1: the key "a" stands twice'),
        ("a: *b\n", "line 1, column 4: a word that begins with"),
        ("a: !!python/object:os.system x\n", "line 1, column 4: could not determine"),
        ("a: x\x07y\n", "U+0007, at line 1, column 5"),
        ("[1]: 2\n? [1]\n: 2", "not JSON"),
        ("? [1]\n: 2", "line 1, column 3: a key is a text"),
        ("a: " + "[" * 1500, "nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "number that can't be read"),
    ],
)
def test_a_text_that_is_wrong_is_said_with_its_place(text: str, words: str) -> None:
    with pytest.raises(AfinaError) as error:
        parse_row(text)
    assert words in str(error.value)


def test_a_row_of_a_million_characters_is_json() -> None:
    row = {"text": "line\n" * 300_000}
    text = dump_row(row)
    assert json.loads(text) == row
    assert text.startswith("{")
