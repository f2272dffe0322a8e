"""The index of a large file is kept, and never believed where it does not fit the file."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from core.data.files import cache as cache_module
from core.data.files import lines
from core.data.files.source import open_source

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def small_files_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "LEAST_BYTES", 0)


def write_lines(path: Path, seed: int = 1) -> Path:
    """Lines of many lengths, with blank ones between; the same size for every seed."""
    numbers = random.Random(seed)
    order = list(range(3000))
    numbers.shuffle(order)
    text = "".join(f'{{"n": "{"x" * (n % 50)}"}}\n' + "\n" * (n % 7 == 0) for n in order)
    path.write_text(text)
    return path


def rows_of(path: Path, cache: Path) -> tuple[list[tuple[int, object]], bool]:
    with open_source(path, cache=cache) as source:
        return [(row.line, row.value) for row in source], source.cached


def test_a_second_opening_finds_the_same_rows_without_a_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cache = write_lines(tmp_path / "a.jsonl"), tmp_path / "cache"
    first, cached = rows_of(path, cache)
    assert not cached
    assert [line for line, _ in first] != list(range(1, 3001))
    monkeypatch.setattr(lines._Lines, "feed", None)  # a scan would fail
    assert rows_of(path, cache) == (first, True)


@pytest.mark.parametrize("name", ["a.json", "a.csv", "a.txt"])
def test_other_containers_are_remembered_too(write_rows: Write, tmp_path: Path, name: str) -> None:
    texts = {
        "a.json": b'[{"a": 1},\n\n{"a":\n2}, {"a": 3}]',
        "a.csv": b'a,b\n"1\n2",3\n4,5\n',
        "a.txt": b"one\ntwo\n\n\nthree",
    }
    path = write_rows(texts[name], name)
    first, _ = rows_of(path, tmp_path / "cache")
    assert rows_of(path, tmp_path / "cache") == (first, True)


def test_an_edit_of_the_same_size_and_time_is_noticed(tmp_path: Path) -> None:
    path, cache = write_lines(tmp_path / "a.jsonl"), tmp_path / "cache"
    rows_of(path, cache)
    before = path.stat()
    write_lines(path, seed=2)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    expected, _ = rows_of(path, tmp_path / "another")
    assert rows_of(path, cache) == (expected, False)


def test_a_damaged_entry_is_made_again(tmp_path: Path) -> None:
    path, cache = write_lines(tmp_path / "a.jsonl"), tmp_path / "cache"
    expected, _ = rows_of(path, cache)
    (entry,) = (cache / "index").glob("*.rows")
    whole = entry.read_bytes()
    numbers = random.Random(3)
    spoiled = [whole[:size] for size in (0, 5, 100, len(whole) - 1)] + [whole + b"x"]
    for _ in range(15):
        place = numbers.randrange(len(whole))
        spoiled.append(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    for content in spoiled:
        entry.write_bytes(content)
        rows, cached = rows_of(path, cache)
        assert rows == expected
        if cached:  # a bit of white space or of a name that nobody reads
            assert content[16:] != whole[16:] or content == whole
    assert rows_of(path, cache) == (expected, True)


def test_a_hash_is_remembered_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_lines(tmp_path / "a.jsonl")
    source = open_source(path, cache=tmp_path / "cache")
    first = source.content_hash()
    with monkeypatch.context() as patch:
        patch.setattr("hashlib.file_digest", None)  # reading it again would fail
        assert source.content_hash() == first
    write_lines(path, seed=2)
    assert source.content_hash() != first


def test_old_entries_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    paths = [write_lines(tmp_path / f"{n}.jsonl") for n in range(4)]
    rows_of(paths[0], cache)
    (entry,) = (cache / "index").iterdir()
    os.utime(entry, ns=(1, 1))
    monkeypatch.setattr(cache_module, "MOST_BYTES", int(entry.stat().st_size * 2.5))
    for path in paths[1:]:
        rows_of(path, cache)
    assert len(list((cache / "index").iterdir())) == 2
    assert rows_of(paths[3], cache)[1]
    assert not rows_of(paths[0], cache)[1]


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl")
    (tmp_path / "cache").write_text("a file where the folder should be")
    rows, cached = rows_of(path, tmp_path / "cache")
    assert (len(rows), cached) == (3000, False)
