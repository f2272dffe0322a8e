"""Parquet and Arrow: any row by its number, values as JSON, damaged files and what changes."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from core.data.files import parquet, tables
from core.data.files.source import Source, begin_source, open_source
from core.errors import AfinaError

ROWS = 1000


def write_table(path: Path, columns: dict[str, Any] | pyarrow.Table, chunk: int = 300) -> Path:
    """A table under one of the forms: .parquet, .arrow, or an Arrow stream (stream.arrow)."""
    table = columns if isinstance(columns, pyarrow.Table) else pyarrow.table(columns)
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path, row_group_size=chunk)
        return path
    new = pyarrow.ipc.new_stream if path.stem == "stream" else pyarrow.ipc.new_file
    with new(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=chunk)
    return path


def numbered(count: int = ROWS) -> dict[str, list[Any]]:
    turns = [[{"role": "user", "content": f"number {n}"}] for n in range(count)]
    return {"n": list(range(count)), "messages": turns}


def value_of(source: Source, index: int) -> Any:
    row = source.row(index)
    assert row.problem is None
    return row.value


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "stream.arrow"])
def test_any_row_is_read_by_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(parquet, "BATCH_ROWS", 64)
    monkeypatch.setattr(tables, "KEPT_BYTES", 4096)
    with open_source(write_table(tmp_path / name, numbered())) as source:
        assert (len(source), source.indexed) == (ROWS, True)
        for index in (0, 999, 299, 300, 301, 63, 64, 998, 5, 640):
            assert value_of(source, index) == {
                "n": index,
                "messages": [{"role": "user", "content": f"number {index}"}],
            }
            assert source.place(index) == (tmp_path / name, index + 1)
        assert [row.value["n"] for row in source if isinstance(row.value, dict)] == list(
            range(ROWS)
        )
        assert [row.index for row in source.rows(290, 310)] == list(range(290, 310))
        raw = source.raw(7)
        assert raw == b'{"n":7,"messages":[{"role":"user","content":"number 7"}]}'
        with pytest.raises(IndexError):
            source.row(ROWS)


def test_values_become_json(tmp_path: Path) -> None:
    cells = {
        "when": pyarrow.array([datetime.datetime(2026, 11, 21, 8, 30)], pyarrow.timestamp("ms")),
        "day": pyarrow.array([datetime.date(2026, 11, 21)]),
        "took": pyarrow.array([1500], pyarrow.duration("ms")),
        "price": pyarrow.array([decimal.Decimal("1.50")]),
        "count": pyarrow.array([decimal.Decimal("12")]),
        "scores": pyarrow.map_(pyarrow.string(), pyarrow.int32()),
        "missing": [float("nan")],
        "text": [b"plain text"],
        "kind": pyarrow.array(["yes"]).dictionary_encode(),
    }
    cells["scores"] = pyarrow.array([[("a", 1)]], cells["scores"])
    with open_source(write_table(tmp_path / "t.parquet", cells)) as source:
        assert value_of(source, 0) == {
            "when": "2026-11-21T08:30:00",
            "day": "2026-11-21",
            "took": 1.5,
            "price": 1.5,
            "count": 12,
            "scores": {"a": 1},
            "missing": None,
            "text": "plain text",
            "kind": "yes",
        }


def test_bytes_that_are_no_text_are_named_and_the_rest_of_the_row_is_read(tmp_path: Path) -> None:
    image = [{"bytes": b"\x89PNG\xff", "path": "a.png"}]
    with open_source(
        write_table(tmp_path / "t.parquet", {"image": image, "text": ["x"]})
    ) as source:
        row = source.row(0)
    assert row.value == {"image": {"bytes": None, "path": "a.png"}, "text": "x"}
    (said,) = row.warnings
    assert (said.check, said.field, said.row) == ("binary_value", "image.bytes", 1)


def test_text_that_is_not_utf_8_is_named_at_its_row(tmp_path: Path) -> None:
    kept = pyarrow.array([b"one", b"\xff\xfe", b"three"]).view(pyarrow.string())
    with open_source(write_table(tmp_path / "t.parquet", {"text": kept})) as source:
        rows = list(source)
    assert [row.value for row in rows] == [{"text": "one"}, None, {"text": "three"}]
    assert [row.problem.check for row in rows if row.problem] == ["unreadable_row"]


def test_columns_of_one_name_are_both_read(tmp_path: Path) -> None:
    table = pyarrow.table([[1], [2]], names=["a", "a"])
    with open_source(write_table(tmp_path / "t.arrow", table)) as source:
        assert value_of(source, 0) == {"a": 1, "a 2": 2}
        assert [item.check for item in source.problems] == ["duplicate_column_name"]


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "stream.arrow"])
@pytest.mark.parametrize("content", [b"", b"PAR1", b"ARROW1", b"\0" * 100, b'{"a": 1}\n'])
def test_what_is_no_table_is_refused_in_one_sentence(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(AfinaError, match="is damaged"):
        open_source(path)


def test_a_stream_that_breaks_off_keeps_the_rows_before(tmp_path: Path) -> None:
    path = write_table(tmp_path / "stream.arrow", numbered())
    path.write_bytes(path.read_bytes()[:-3000])
    with open_source(path) as source:
        assert len(source) == 900
        assert value_of(source, 899)["n"] == 899
        (said,) = source.problems
    assert said.check == "truncated_file"


def test_a_damaged_row_group_is_a_problem_of_its_rows(tmp_path: Path) -> None:
    columns = {"text": [f"{n} {n * 7919 % 1000}" for n in range(ROWS)]}
    path = write_table(tmp_path / "t.parquet", columns)
    metadata = pyarrow.parquet.read_metadata(path)
    column = metadata.row_group(1).column(0)
    start = column.dictionary_page_offset or column.data_page_offset
    with open(path, "r+b") as file:
        file.seek(start)
        file.write(b"\xff" * column.total_compressed_size)
    with open_source(path) as source:
        checks = [row.problem.check if row.problem else "" for row in source]
    assert checks == [""] * 300 + ["unreadable_row"] * 300 + [""] * 400


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "stream.arrow"])
def test_a_table_that_shrinks_while_open_is_noticed(tmp_path: Path, name: str) -> None:
    path = write_table(tmp_path / name, numbered())
    source = open_source(path)
    assert not source.changed()
    with open(path, "r+b") as file:
        file.truncate(100)
    assert source.changed()
    found = source.row(ROWS - 1).problem
    assert found is not None
    assert found.check == "file_changed"


@pytest.mark.parametrize("name", ["t.parquet", "stream.arrow"])
def test_a_table_that_was_replaced_is_indexed_anew(tmp_path: Path, name: str) -> None:
    path = write_table(tmp_path / name, numbered())
    source = begin_source(path).index()
    write_table(path, numbered(10))
    assert source.changed()
    assert len(source.index()) == 10
    assert not source.changed()


def test_a_resting_table_reads_on(tmp_path: Path) -> None:
    for name in ("t.parquet", "t.arrow", "stream.arrow"):
        source = open_source(write_table(tmp_path / name, numbered()))
        source.rest()
        assert value_of(source, 500)["n"] == 500
