"""Tables of text: quotes, newlines in them, delimiters, headers, and rows that don't fit."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.files import delimited
from core.data.files.source import open_source
from core.errors import AfinaError

Write = Callable[..., Path]


def found(path: Path) -> list[tuple[int, object]]:
    with open_source(path) as source:
        return [(row.line, row.problem.check if row.problem else row.value) for row in source]


@pytest.mark.parametrize("block_bytes", [1, 3, 7, 1 << 20])
@pytest.mark.parametrize("small_bytes", [0, 1 << 20])  # numpy, plain Python
def test_a_newline_in_quotes_ends_no_row(
    write_rows: Write, monkeypatch: pytest.MonkeyPatch, block_bytes: int, small_bytes: int
) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(delimited, "SMALL_BYTES", small_bytes)
    text = b'\xef\xbb\xbfq,a\r\n"two\nlines","say ""so"", yes"\r\n\r\nplain,"x"\n'
    text += b'5" disk,\xc3\xa9\nlast,'
    assert found(write_rows(text, "t.csv")) == [
        (2, {"q": "two\nlines", "a": 'say "so", yes'}),
        (5, {"q": "plain", "a": "x"}),
        (6, {"q": '5" disk', "a": "é"}),
        (7, {"q": "last", "a": ""}),
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", b"a,b\n1,2\n"),
        ("a.csv", b"a;b\n1;2\n"),
        ("a.csv", b"a\tb\n1\t2\n"),
        ("a.tsv", b"a\tb\n1\t2"),
    ],
)
def test_the_delimiter_is_found(write_rows: Write, name: str, text: bytes) -> None:
    assert found(write_rows(text, name)) == [(2, {"a": "1", "b": "2"})]


def test_a_row_with_more_or_fewer_columns_is_a_problem_at_its_line(write_rows: Write) -> None:
    rows = found(write_rows(b"a,b\n1,2,3\n4\n5,6\n", "t.csv"))
    wrong = "wrong_column_count"
    assert rows == [(2, wrong), (3, wrong), (4, {"a": "5", "b": "6"})]


def test_an_open_quote_spoils_its_own_row_only(write_rows: Write) -> None:
    rows = found(write_rows(b'a,b\n1,"open\n2,3\n4,5\n', "t.csv"))
    assert rows == [
        (2, "invalid_csv"),
        (3, {"a": "2", "b": "3"}),
        (4, {"a": "4", "b": "5"}),
    ]


def test_an_open_quote_in_a_huge_file_is_given_up_at_the_longest_row(
    write_rows: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 100)
    monkeypatch.setattr(delimited, "LONGEST_ROW_BYTES", 1000)
    rows = found(write_rows(b'a\n"open\n' + b"x\n" * 2000, "t.csv"))
    assert rows[0] == (2, "invalid_csv")
    assert rows[1:] == [(line, {"a": "x"}) for line in range(3, 2003)]


def test_odd_names_of_columns_are_said_and_every_column_can_be_read(write_rows: Write) -> None:
    with open_source(write_rows(b",a,a\n1,2,3\n", "t.csv")) as source:
        assert source.row(0).value == {"column 1": "1", "a": "2", "a 3": "3"}
        said = [(item.row, item.check, item.severity) for item in source.problems]
    assert said == [(0, "empty_column_name", "warning"), (0, "duplicate_column_name", "warning")]


def test_latin_1_is_said_with_the_character(write_rows: Write) -> None:
    with open_source(write_rows(b"a\nok\ncaf\xe9\n", "t.csv")) as source:
        found = source.row(1).problem
    assert found is not None
    assert (found.check, found.line) == ("bad_encoding", 3)
    assert '"é" in Latin-1' in found.found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        ("a,b\n1,2\n".encode("utf-16-le"), "UTF-16"),
        (b"caf\xe9,b\n1,2\n", "not UTF-8"),
        (b'"a,b\n1,2\n', "header"),
    ],
)
def test_a_header_that_cannot_be_read_is_one_sentence(
    write_rows: Write, text: bytes, words: str
) -> None:
    with pytest.raises(AfinaError, match=words):
        open_source(write_rows(text, "t.csv"))


def test_a_header_alone_has_no_rows_and_neither_has_nothing(write_rows: Write) -> None:
    assert found(write_rows(b"a,b", "t.csv")) == []
    assert found(write_rows(b"", "u.csv")) == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.text('ab"\n, ;é\r', max_size=6), min_size=2, max_size=2), max_size=8),
    st.sampled_from([0, 1 << 20]),
)
def test_what_the_csv_module_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, values: list[list[str]], small_bytes: int
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerows([["one", "two"], *values])
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_bytes(text.getvalue().encode())
    before = delimited.SMALL_BYTES
    delimited.SMALL_BYTES = small_bytes
    try:
        with open_source(path) as source:
            assert [row.value for row in source] == [
                {"one": one, "two": two} for one, two in values
            ]
    finally:
        delimited.SMALL_BYTES = before
