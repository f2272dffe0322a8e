"""Files that grow, shrink, are replaced or vanish while they are open."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from core.data.files.source import Source, open_source

Write = Callable[..., Path]
NAMES = ["a.jsonl", "a.json", "a.csv", "a.txt"]
TEXTS = {
    "a.jsonl": b'{"text": "1"}\n{"text": "2"}\n',
    "a.json": b'[{"text": "1"},\n{"text": "2"}]',
    "a.csv": b"text\n1\n2\n",
    "a.txt": b"1\n\n2\n",
}


def texts_of(source: Source) -> list[object]:
    return [row.value["text"] if isinstance(row.value, dict) else row.problem for row in source]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_was_replaced_is_read_as_it_was_until_it_is_indexed_anew(
    write_rows: Write, tmp_path: Path, name: str
) -> None:
    path = write_rows(TEXTS[name], name)
    source = open_source(path)
    (tmp_path / "new").write_bytes(TEXTS[name].replace(b"2", b"another"))
    os.replace(tmp_path / "new", path)
    assert source.changed()
    assert texts_of(source) == ["1", "2"]
    assert texts_of(source.index()) == ["1", "another"]
    assert not source.changed()


def test_a_file_that_grew_has_its_new_rows_after_another_index(write_rows: Write) -> None:
    path = write_rows(TEXTS["a.jsonl"], "a.jsonl")
    source = open_source(path)
    with open(path, "ab") as file:
        file.write(b'{"text": "3"}\n')
    assert source.changed()
    assert texts_of(source) == ["1", "2"]
    assert texts_of(source.index()) == ["1", "2", "3"]


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_are_gone_are_problems_not_crashes(write_rows: Write, name: str) -> None:
    path = write_rows(TEXTS[name], name)
    source = open_source(path)
    os.truncate(path, 4)
    assert source.changed()
    assert [row.problem.check for row in source if row.problem][-1] == "file_changed"
    assert len(list(source)) == 2


def test_a_file_that_vanished_is_read_on_while_it_is_open_and_said_after(write_rows: Write) -> None:
    path = write_rows(TEXTS["a.jsonl"], "a.jsonl")
    source = open_source(path)
    path.unlink()
    assert source.changed()
    assert texts_of(source) == ["1", "2"]
    source.rest()
    found = source.row(1).problem
    assert found is not None
    assert (found.check, found.line) == ("file_changed", 2)
    assert source.raw(1) == b""
