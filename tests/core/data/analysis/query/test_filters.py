"""Filters: what they let through, and errors that point at the column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.analysis.analysis import Analysis
from core.data.analysis.query.context import QueryContext, column_of
from core.data.analysis.query.evaluate import check, evaluate, reads_content
from core.data.analysis.query.grammar import FACTS, parse
from core.errors import AfinaError
from tests.core.data.analysis.analyses import chat, survey_of

ROWS: list[Any] = [
    chat("Where to stay?", "In Testaccio.", "You plan travel."),
    chat("Qué comer", "Salmorejo"),
    chat("Where to stay?", "In Testaccio.", "You plan travel."),
    "not an object",
    chat("Bell", "\x07 dong"),
    {"messages": [*chat("a", "b")["messages"], *chat("c", "d" * 100)["messages"]]},
]


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory, make_model: Any) -> Any:
    folder = tmp_path_factory.mktemp("filters")
    with survey_of(ROWS, folder, model=make_model("marked")) as found:
        yield found


def rows_of(survey: Analysis, text: str, **sets: Any) -> list[int]:
    tree = parse(text)
    check(tree)
    rows = np.arange(survey.rows, dtype="u4")
    return rows[evaluate(tree, rows, QueryContext(survey.subject, survey.facts, **sets))].tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("turns >= 3", [0, 2, 5]),
        ("turns == 4 or row == 2", [1, 5]),
        ("not turns > 0", [3]),
        ("turns in (2, 4)", [1, 4, 5]),
        ("tokens > supervised and turns > 0", [0, 1, 2, 4, 5]),
        ('"exact_duplicate" in problems', [2]),
        ("duplicate", [2]),
        ("problems", [2, 3, 4]),
        ("problems contains 'control'", [4]),
        ("len(problems) == 0", [0, 1, 5]),
        ('severity == "error"', [3]),
        ("severity >= 'warning'", [2, 3]),
        ("role('system') contains 'TRAVEL'", [0, 2]),
        ("role('assistant') == 'Salmorejo'", [1]),
        ("text matches 'Qu[eé]'", [1]),
        ("text not contains 'where' and row <= 3", [1]),
        ("'salmorejo' in text", [1]),
        ("raw contains 'not an'", [3]),
        ("file contains 'surveyed' and line == 4", [3]),
        ("marked or edited", [0, 5]),
        ("(turns == 2 and not (row == 2))", [4]),
        (r"text matches '\x07\s'", [4]),
        ("script == 'latin' and bytes > 200", [5]),
    ],
)
def test_a_filter_lets_the_right_rows_through(
    survey: Analysis, text: str, expected: list[int]
) -> None:
    assert rows_of(survey, text, marked=[0], edited=[5]) == expected


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("tokns > 3", 1, "there is no fact"),
        ("tokens >", 9, "found the end"),
        ("tokens > 'x'", 10, "can't be compared"),
        ("turns = 3", 7, "== for equal"),
        ("turns > 3 && tokens > 2", 11, "and, or, not"),
        ("(turns > 3", 11, 'expected ")"'),
        ("turns > 3 tokens", 11, "and, or, or the end"),
        ('"abc', 1, "has no end"),
        ("text", 5, "a comparison"),
        ("text > 'a'", 1, "texts can't be compared"),
        ("problems == 'x'", 13, '"truncated" in problems'),
        ("text matches '(a'", 14, "not a regular expression"),
        ("role(system) == 'x'", 6, "a role in quotes"),
        ("severity == 'bad'", 13, "no severity"),
        ("label < 'b'", 1, "words can't be compared"),
    ],
)
def test_an_error_names_the_column_and_what_was_expected(
    survey: Analysis, text: str, column: int, words: str
) -> None:
    with pytest.raises(AfinaError) as caught:
        rows_of(survey, text)
    assert f"at column {column}:" in caught.value.message
    assert words in f"{caught.value.message} {caught.value.hint}"


def test_the_nearest_fact_is_offered() -> None:
    with pytest.raises(AfinaError) as caught:
        parse("tokns > 3")
    assert 'Did you mean "tokens"?' in caught.value.hint


def test_content_is_read_only_for_rows_that_the_columns_leave(
    survey: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    whole = QueryContext.text

    def text(ground: QueryContext, row: int) -> str:
        read.append(row)
        return whole(ground, row)

    monkeypatch.setattr(QueryContext, "text", text)
    assert rows_of(survey, "text contains 'd' and turns == 4") == [5]
    assert read == [5]
    assert reads_content(parse("text contains 'd' or row == 1"))


def test_an_expression_without_an_end_is_given_up(survey: Analysis, tmp_path: Path) -> None:
    rows = [chat("x", "a" * 60 + "!")]
    with (
        survey_of(rows, tmp_path) as slow,
        pytest.raises(AfinaError, match="takes longer than 1 s on row 1"),
    ):
        rows_of(slow, r"text matches '(a|aa|a?)+$'")


@pytest.mark.parametrize("name", ["tokens", "severity", "file", "problems", "duplicate", "row"])
def test_every_fact_can_be_sorted_by(survey: Analysis, name: str) -> None:
    rows = np.arange(survey.rows, dtype="u4")
    assert len(column_of(QueryContext(survey.subject, survey.facts), name, rows)) == survey.rows


PIECES = st.sampled_from(
    [*FACTS, "and", "or", "not", "in", "(", ")", ",", "'x'", "3", ">", "==", "contains", "matches"]
    + ["len(problems)", "role('user')", "'('", "-1.5", "#"]
)


@given(st.lists(PIECES, max_size=9).map(" ".join) | st.text(max_size=30))
def test_no_filter_is_too_odd(survey: Analysis, text: str) -> None:
    try:
        found = rows_of(survey, text)
    except AfinaError as error:
        assert error.message
        return
    assert found == sorted(found)
