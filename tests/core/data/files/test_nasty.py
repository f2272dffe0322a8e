"""Whatever bytes lie in a file, every row is a value or a problem at its line."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.data.files import delimited, lines, scan
from core.data.files.source import begin_source, looks_like_data, open_source
from core.errors import AfinaError

Write = Callable[..., Path]
BYTES = st.binary(max_size=80) | st.text('{}[]",:\\\n\r\t ab1é\ufeff\0', max_size=80).map(
    lambda text: text.encode()
)
BOUNDED = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@BOUNDED
@given(BYTES, st.sampled_from([1, 4, 64, 1 << 20]))
def test_every_line_that_is_not_blank_is_a_row_of_json_lines(
    tmp_path: Path, content: bytes, block_bytes: int
) -> None:
    path = tmp_path / "rows.ndjson"
    path.write_bytes(b'{"first": 1}\n' + content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK_BYTES", block_bytes)
        patch.setattr(lines, "FIRST_BLOCK_BYTES", 13)
        try:
            source = open_source(path)
        except AfinaError as error:
            assert "UTF-16" in error.message  # so many zeros
            return
    expected = [
        (number, line.strip())
        for number, line in enumerate(path.read_bytes().split(b"\n"), start=1)
        if line.strip()
    ]
    assert [(source.place(n)[1], source.raw(n)) for n in range(len(source))] == expected
    one_by_one = [source.row(index) for index in range(len(source))]
    assert list(source) == one_by_one
    for row, (line, raw) in zip(one_by_one, expected, strict=True):
        assert row.line == line
        assert (row.value is None) == (row.problem is not None)
        assert row.problem is None or (row.problem.row, row.problem.line) == (row.index + 1, line)
        if row.value is not None:
            assert row.value == json.loads(raw)


@BOUNDED
@given(BYTES, st.sampled_from(["a.json", "a.jsonl", "a.csv", "a.tsv", "a.txt", "a.md", "a.csv.gz"]))
def test_any_bytes_under_any_ending_become_rows_or_one_sentence(
    tmp_path: Path, content: bytes, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        for module in (lines, scan, delimited):
            patch.setattr(module, "BLOCK_BYTES", 16)
        try:
            source = open_source(path, cache=tmp_path / "cache")
        except AfinaError as error:
            assert error.message.endswith(".")
            return
    for row in source:
        assert (row.value is None) == (row.problem is not None)
        assert row.line >= 1


@pytest.mark.parametrize("ending", ["parquet", "arrow", "jsonl.zst", "jsonl.gz"])
def test_mutated_files_of_bytes_become_rows_or_one_sentence(tmp_path: Path, ending: str) -> None:
    import gzip

    import pyarrow
    import pyarrow.parquet

    path, table = (
        tmp_path / f"a.{ending}",
        pyarrow.table({"n": list(range(500)), "t": ["ab"] * 500}),
    )
    text = b'{"n": 1}\n' * 500
    if ending == "parquet":
        pyarrow.parquet.write_table(table, path, row_group_size=100)
    elif ending == "arrow":
        with pyarrow.ipc.new_file(str(path), table.schema) as out:
            out.write_table(table, max_chunksize=100)
    else:
        codec = pyarrow.Codec("zstd")
        path.write_bytes(gzip.compress(text) if ending.endswith("gz") else codec.compress(text))
    whole, numbers = path.read_bytes(), random.Random(5)
    for _ in range(60):
        spoiled = bytearray(whole[: numbers.choice([len(whole), numbers.randrange(len(whole))])])
        for _ in range(numbers.randrange(4) if spoiled else 0):
            spoiled[numbers.randrange(len(spoiled))] = numbers.randrange(256)
        path.write_bytes(spoiled)
        try:
            source = open_source(path, cache=tmp_path / "cache")
        except AfinaError:
            continue
        assert all((row.value is None) == (row.problem is not None) for row in source)


def test_a_key_that_stands_twice_is_a_warning_and_the_row_is_read(write_rows: Write) -> None:
    texts = [
        b'{"a": 1, "b": 2, "a": 3}',
        b'{"a" : {"b":1,"b" :2}}',
        b'{"say": "\\"a\\":1", "c" :1}',
        b'[{"x":1},{"x":2,"y":[{"z":1,"z":2}]}]',
        b'{"a\\u0062":1,"ab":2}',
    ]
    rows = list(open_source(write_rows(b"\n".join(texts), "rows.jsonl")))
    found = [[(item.check, item.field, item.severity) for item in row.warnings] for row in rows]
    twice = "duplicate_key"
    assert found == [
        [(twice, "a", "warning")],
        [(twice, "b", "warning")],
        [],
        [(twice, "z", "warning")],
        [(twice, "ab", "warning")],
    ]
    assert [row.value for row in rows] == [json.loads(text) for text in texts]


@pytest.mark.parametrize("levels", [101, 900, 100_000])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_deep_nesting_is_a_problem_of_its_row(write_rows: Write, levels: int, name: str) -> None:
    deep = b'{"a": ' + b"[" * levels + b"]" * levels + b"}"
    rows = list(open_source(write_rows(b'{"x": 1}\n' + deep + b'\n{"y": 2}\n', name)))
    assert [row.value for row in rows] == [{"x": 1}, None, {"y": 2}]
    assert rows[1].problem is not None
    assert (rows[1].problem.check, rows[1].line) == ("invalid_json", 2)
    assert "nesting too deep" in rows[1].problem.found


def test_a_line_of_100_megabytes_is_one_problem_and_its_neighbours_are_read(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.jsonl"
    with open(path, "wb") as file:
        file.write(b'{"a": 1}\n{"a": "')
        for _ in range(100):
            file.write(b"x" * (1 << 20))
        file.write(b'"}\n{"a": 3}\n')
    with open_source(path, cache=tmp_path / "cache") as source:
        rows = list(source)
    assert [row.value for row in rows] == [{"a": 1}, None, {"a": 3}]
    assert rows[1].problem is not None
    assert (rows[1].problem.check, rows[1].line, rows[2].line) == ("row_too_long", 2, 3)


def test_blank_lines_between_rows_are_no_part_of_a_row(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n' + b"\n" * (40 << 20) + b' {"a": 2}\n' + b" \n" * 1000)
    with open_source(path, cache=tmp_path / "cache") as source:
        rows = list(source)
    assert [(row.line, row.value) for row in rows] == [(1, {"a": 1}), ((40 << 20) + 2, {"a": 2})]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_said_with_the_way_out(write_rows: Write, encoding: str) -> None:
    path = write_rows('{"text": "two bytes"}\n'.encode(encoding), "a.jsonl")
    assert looks_like_data(path) is None
    with pytest.raises(AfinaError, match="UTF-16") as caught:
        begin_source(path)
    assert "iconv" in caught.value.hint


@pytest.mark.parametrize("digits", [400, 5000])
def test_a_huge_number_is_read_or_named(write_rows: Write, digits: int) -> None:
    row = open_source(write_rows(b'{"n": ' + b"9" * digits + b"}")).row(0)
    if digits < 4300:
        assert row.value == {"n": int("9" * digits)}
    else:
        assert row.problem is not None
        assert row.problem.check == "invalid_json"


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.json", b'[{"a": 1}, {"a": "'), ("a.csv", b'a\n1\n"'), ("a.csv", b"a\n1\n")],
)
def test_a_huge_value_that_never_ends_is_read_over_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: bytes
) -> None:
    monkeypatch.setattr(delimited, "LONGEST_ROW_BYTES", 1 << 20)
    path = tmp_path / name
    path.write_bytes(text + b"x" * (48 << 20) + (b"\n2\n" if name == "a.csv" else b""))
    with open_source(path, cache=tmp_path / "cache") as source:
        rows = list(source)
    assert [row.problem.check if row.problem else row.value for row in rows] == (
        [{"a": 1}, "row_too_long"] if name == "a.json" else [{"a": "1"}, "row_too_long", {"a": "2"}]
    )


@pytest.mark.parametrize(
    ("content", "checks"),
    [
        (b"[", ["invalid_json"]),
        (b"[\n", ["invalid_json"]),
        (b'[{"a": 1}', ["", "invalid_json"]),
        (b'[{"a": 1},', ["", "invalid_json"]),
        (b'[{"a": 1},{"b', ["", "invalid_json"]),
        (b'[{"a": 1}]', [""]),
    ],
)
def test_an_array_that_lacks_its_end_says_so_in_a_row(
    tmp_path: Path, content: bytes, checks: list[str]
) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(content)
    with open_source(path) as source:
        assert [row.problem.check if row.problem else "" for row in source] == checks
