"""The words that problems are put in."""

from __future__ import annotations

import pytest

from core.data.problems import kind_of, listing, problem, shorten


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["role"], "role"),
        (["role", 7], "role, 7"),
        (["x" * 30], "x" * 10),
        (["aaa", "bbb", "cc"], "aaa, bbb, cc"),
        (["aaaa", "bbbb", "cccc"], "aaaa and 2 more"),
    ],
)
def test_names_are_listed_until_the_sentence_is_full(names: list[object], text: str) -> None:
    assert listing(names, 12 if len(names) > 2 else 10) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [("ab", '"ab"'), ("abcdefghij", '"abcde..."'), (12, "12"), (12345678901234, "123456...4")],
)
def test_a_value_is_shortened_between_its_quotes(value: object, text: str) -> None:
    assert shorten(value, 10) == text


def test_types_have_the_names_of_json() -> None:
    values = [None, True, {}, [], "x", 1, 1.5, b""]
    assert [kind_of(value) for value in values] == [
        *("null", "true or false", "an object", "a list", "text", "a number", "a number", "bytes"),
    ]


def test_a_problem_says_where_it_is() -> None:
    found = problem("bad_weight", "messages[1].weight", "2", "0 or 1", "Use 0 or 1.")
    assert str(found) == "file messages[1].weight: bad_weight: found 2, expected 0 or 1"
    assert str(found.at(3, 4)).startswith("row 3 messages[1].weight")
