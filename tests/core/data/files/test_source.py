"""Rows by offsets: every layout, every way a line can be broken, and paths that are no data."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from core.data.files import delimited, lines, scan
from core.data.files.source import begin_source, open_source
from core.errors import AfinaError

Write = Callable[..., Path]
FILES = {
    "a.jsonl": b'\xef\xbb\xbf{"a":1}\r\n\r\n  \n{"b":"\xc3\xa9"}\n{"c"',
    "b.jsonl": b'[{"role":"user"}]\n[{"role":"x"}]',
    "c.jsonl": b'[\n{"a":1},\n{"b":2}\n]\n',
    "d.json": b'[\n {"a":[1,{"x":"],\\"}"}]},\n {"b":2}\n,3, null, "x,y"] tail',
    "e.json": b'{"a":1}\n{"b":2}\n',
    "f.json": b'{\n "a":1\n}\n\n{"b":\n2} junk',
    "g.json": b'[{"a":1},{"b":"unterminated}, {"c":3}]',
    "h.json": b"[]",
    "i.json": b"",
    "j.json": b'[{"a":"\\\\"},{"b":"\\""}',
    "k.txt": b"one\r\ntwo\n\n\nthree\n \nfour",
    "l.md": b"# a\n\nb\n",
    "m.jsonl": b'\n\n{"a":1}',
    "n.jsonl": b'[{"a":1},\n{"b":2},\n{"c":3}]\n',
    "o.jsonl": b'[{"a":1\n{"b":2}\n{"c":3}\n',
}
FOUND = {  # (line, value or the name of the problem)
    "a.jsonl": [(1, {"a": 1}), (4, {"b": "é"}), (5, "invalid_json")],
    "b.jsonl": [(1, [{"role": "user"}]), (2, [{"role": "x"}])],
    "c.jsonl": [(2, {"a": 1}), (3, {"b": 2})],
    "d.json": [
        (2, {"a": [1, {"x": '],"}'}]}),
        (3, {"b": 2}),
        (4, "not_an_object"),
        (4, "not_an_object"),
        (4, "not_an_object"),
        (4, "invalid_json"),
    ],
    "e.json": [(1, {"a": 1}), (2, {"b": 2})],
    "f.json": [(1, {"a": 1}), (5, {"b": 2}), (6, "invalid_json")],
    "g.json": [(1, {"a": 1}), (1, "invalid_json")],
    "h.json": [],
    "i.json": [],
    "j.json": [(1, {"a": "\\"}), (1, {"b": '"'}), (1, "invalid_json")],
    "k.txt": [(1, {"text": "one\r\ntwo"}), (5, {"text": "three"}), (7, {"text": "four"})],
    "l.md": [(1, {"text": "# a\n\nb"})],
    "m.jsonl": [(3, {"a": 1})],
    "n.jsonl": [(1, {"a": 1}), (2, {"b": 2}), (3, {"c": 3})],
    "o.jsonl": [(1, "invalid_json"), (2, {"b": 2}), (3, {"c": 3})],
}


def set_blocks(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Files are read in blocks of so many bytes."""
    for module in (scan, lines, delimited):
        monkeypatch.setattr(module, "BLOCK_BYTES", size)
    monkeypatch.setattr(lines, "FIRST_BLOCK_BYTES", size)


def rows_of(path: Path) -> list[tuple[int, object]]:
    with open_source(path) as source:
        return [(row.line, row.problem.check if row.problem else row.value) for row in source]


@pytest.mark.parametrize("name", sorted(FILES))
def test_rows_are_found_with_their_lines_in_every_layout(write_rows: Write, name: str) -> None:
    assert rows_of(write_rows(FILES[name], name)) == FOUND[name]


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("block_bytes", [1, 2, 3, 5, 8])
def test_where_blocks_end_makes_no_difference(
    write_rows: Write, monkeypatch: pytest.MonkeyPatch, name: str, block_bytes: int
) -> None:
    set_blocks(monkeypatch, block_bytes)
    assert rows_of(write_rows(FILES[name], name)) == FOUND[name]


@pytest.mark.parametrize(
    ("line", "check", "found"),
    [
        (b'{"a": 1', "invalid_json", "Expecting"),
        (b'{"a": "\x00"}', "invalid_json", "control character"),
        (b"[" * 100_000, "invalid_json", "nesting too deep"),
        (b'{"a": NaN}', "invalid_json", "NaN, which JSON has no room for"),
        (b'{"a": [-Infinity]}', "invalid_json", "-Infinity"),
        (b'{"a": 1e999}', "invalid_json", "1e999"),
        (b'{"a": "\xff"}', "bad_encoding", "byte 0xff at position 8"),
        (b'{"a": "\\ud800"}', "bad_encoding", "surrogate"),
        (b"17", "not_an_object", "a number"),
        (b'"text"', "not_an_object", "text"),
        (b"[1, 2]", "not_an_object", "a list"),
        (b"[]", "not_an_object", "an empty list"),
    ],
)
def test_a_broken_row_carries_its_problem_and_the_next_row_is_read(
    write_rows: Write, line: bytes, check: str, found: str
) -> None:
    source = open_source(write_rows(b'{"x": 1}\n' + line + b'\n{"y": 2}\n'))
    first, broken, last = source
    assert (first.value, last.value) == ({"x": 1}, {"y": 2})
    assert broken.value is None
    assert broken.problem is not None
    assert (broken.problem.check, broken.problem.row, broken.problem.line) == (check, 2, 2)
    assert found in broken.problem.found


def test_a_huge_whole_number_is_read(write_rows: Write) -> None:
    source = open_source(write_rows(b'{"c": 123456789012345678901234567890}'))
    assert source.row(0).value == {"c": 123456789012345678901234567890}


def test_rows_can_be_read_while_the_file_is_indexed(
    write_rows: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_blocks(monkeypatch, 64)
    path = write_rows([{"n": n, "pad": "x" * (n % 40)} for n in range(200)])
    source = begin_source(path)
    seen: list[int] = []

    def look(done: int, total: int) -> None:
        assert done <= total
        seen.append(len(source))
        if len(source):
            last = source.row(len(source) - 1).value
            assert isinstance(last, dict)
            assert last["n"] == len(source) - 1

    source.index(look)
    assert source.indexed
    assert len(set(seen)) > 20
    assert [row.value["n"] for row in source if isinstance(row.value, dict)] == list(range(200))


def test_indexing_can_be_cancelled_and_begun_again(
    write_rows: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_blocks(monkeypatch, 64)
    source = begin_source(write_rows([{"n": n} for n in range(100)]))
    source.index(cancelled=lambda: len(source) > 10)
    assert not source.indexed
    assert 10 < len(source) < 100
    assert len(source.index()) == 100


def test_a_row_that_is_not_there_is_an_index_error(write_rows: Write) -> None:
    source = open_source(write_rows([{"a": 1}]))
    for index in (-1, 1):
        with pytest.raises(IndexError):
            source.raw(index)


def test_a_file_that_changed_is_noticed_and_one_that_shrank_does_no_harm(write_rows: Write) -> None:
    path = write_rows([{"a": "x" * 100}, {"b": 2}])
    source = open_source(path)
    hash_before = source.content_hash()
    assert not source.changed()
    with open(path, "r+b") as file:
        file.truncate(20)
    assert source.changed()
    assert source.content_hash() != hash_before
    checks = [row.problem.check for row in source if row.problem]
    assert checks == ["file_changed", "file_changed"]
    path.unlink()
    assert source.changed()


def test_what_is_no_data_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "rows.xls").write_text("a,b\n")
    (tmp_path / "rows").write_text("")
    (tmp_path / "wide.jsonl").write_bytes('{"a": 1}'.encode("utf-16"))
    (tmp_path / "loop.jsonl").symlink_to(tmp_path / "loop.jsonl")
    for name, words in {
        "nothing.jsonl": "There is no file",
        "pipe.jsonl": "not a regular file",
        "rows.xls": 'Can\'t read ".xls" files',
        "rows": "a file without an ending",
        "wide.jsonl": "UTF-16",
        "loop.jsonl": "Can't read",
    }.items():
        with pytest.raises(AfinaError, match=words):
            begin_source(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused_in_one_sentence(write_rows: Write) -> None:
    path = write_rows([{"a": 1}])
    path.chmod(0)
    with pytest.raises(AfinaError, match="Permission denied"):
        begin_source(path)
