"""Compressed text: unpacked once, found again, and every way in which that can fail."""

from __future__ import annotations

import gzip
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pyarrow
import pytest

from core.data.files import compressed
from core.data.files.source import begin_source, open_source
from core.errors import AfinaError

TEXT = b"".join(b'{"n": %d}\n' % n for n in range(5000))
Usage = namedtuple("Usage", "total used free")


def pack(text: bytes, name: str) -> bytes:
    if name.endswith(".gz"):
        return gzip.compress(text)
    return pyarrow.Codec("zstd").compress(text, asbytes=True)


@pytest.fixture(params=["rows.jsonl.gz", "rows.jsonl.zst"])
def packed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    path.write_bytes(pack(TEXT, path.name))
    return path


def copies(cache: Path) -> list[Path]:
    folder = cache / "unpacked"
    return sorted(folder.iterdir()) if folder.exists() else []


def test_rows_are_those_of_the_text_and_the_copy_is_found_again(
    packed: Path, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    source = begin_source(packed, cache=tmp_path / "cache")
    assert len(source) == 0
    source.index(lambda done, total: told.append((done, total)))
    assert [row.value for row in source] == [{"n": n} for n in range(5000)]
    assert (source.layout, source.path, source.files) == ("lines", packed, [packed])
    assert source.place(2) == (packed, 3)
    (block,) = source.blocks(1, 3)
    assert block.data.split() == [b'{"n":', b"1}", b'{"n":', b"2}"]
    assert told == sorted(told)
    assert told[-1] == (packed.stat().st_size,) * 2
    assert not source.cached
    (copy,) = copies(tmp_path / "cache")
    inode = copy.stat().st_ino
    again = open_source(packed, cache=tmp_path / "cache")
    assert again.cached
    assert again.raw(4999) == b'{"n": 4999}'
    assert [copy.stat().st_ino for copy in copies(tmp_path / "cache")] == [inode]


def test_a_changed_file_is_unpacked_anew_and_a_shortened_copy_too(
    packed: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    source = open_source(packed, cache=cache)
    os.truncate(copies(cache)[0], 10)
    again = open_source(packed, cache=cache)
    assert (len(again), again.cached) == (5000, False)
    packed.write_bytes(pack(TEXT * 2, packed.name))
    assert source.changed()
    assert len(source.index()) == 10_000
    assert not source.changed()


def test_several_members_are_one_text(packed: Path, tmp_path: Path) -> None:
    packed.write_bytes(pack(TEXT, packed.name) * 3)
    assert len(open_source(packed, cache=tmp_path / "cache")) == 15_000


def test_a_broken_stream_says_how_much_was_good_and_leaves_nothing(
    packed: Path, tmp_path: Path
) -> None:
    whole = packed.read_bytes()
    cache = tmp_path / "cache"
    spoiled = whole[:2000] + bytes(byte ^ 0xFF for byte in whole[2000:2100]) + whole[2100:]
    for content in (whole[: len(whole) // 2], spoiled, whole[:-2], b"", b"no stream at all"):
        packed.write_bytes(content)
        with pytest.raises(AfinaError, match=r"is damaged: the \w+ stream .* after [\d,]+ bytes"):
            open_source(packed, cache=cache)
        assert copies(cache) == []


def test_unpacking_can_be_cancelled_and_leaves_nothing(packed: Path, tmp_path: Path) -> None:
    source = begin_source(packed, cache=tmp_path / "cache").index(cancelled=lambda: True)
    assert not source.indexed
    assert copies(tmp_path / "cache") == []
    assert len(source.index()) == 5000


def test_a_full_disk_is_said_before_and_while_writing(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    free = [compressed.RESERVED_BYTES]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, free[0]))
    with pytest.raises(AfinaError, match="are free in"):
        open_source(packed, cache=cache)
    free = iter([1 << 40, 10])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, next(free)))
    monkeypatch.setattr(compressed, "_CHECK_BYTES", 100)
    with pytest.raises(AfinaError, match="10 B are free"):
        open_source(packed, cache=cache)
    assert copies(cache) == []


@pytest.mark.parametrize("name", ["t.csv.gz", "t.json.gz", "t.txt.zst"])
def test_every_text_may_be_compressed(tmp_path: Path, name: str) -> None:
    texts = {"csv": b"text\none\n", "json": b'[{"text": "one"}]', "txt": b"one\n"}
    path = tmp_path / name
    path.write_bytes(pack(texts[name.split(".")[1]], name))
    with open_source(path, cache=tmp_path / "cache") as source:
        assert [row.value for row in source] == [{"text": "one"}]


def test_a_bomb_is_unpacked_in_small_pieces(tmp_path: Path) -> None:
    path = tmp_path / "bomb.txt.gz"
    path.write_bytes(gzip.compress(b"\n" * (20 << 20)))
    with open(path, "rb", buffering=0) as file:
        sizes = [len(text) for _, text in compressed._gzip_blocks(file)]
    assert sum(sizes) == 20 << 20
    assert max(sizes) <= compressed.BLOCK_BYTES


def test_members_of_gzip_may_be_padded_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed, "BLOCK_BYTES", 16)
    path = tmp_path / "rows.jsonl.gz"
    member = gzip.compress(b'{"n": 1}\n')
    path.write_bytes(member + bytes(50) + member + bytes(50))
    with open_source(path, cache=tmp_path / "cache") as source:
        assert [row.value for row in source] == [{"n": 1}, {"n": 1}]
    path.write_bytes(bytes(50))
    with pytest.raises(AfinaError, match="is damaged"):
        open_source(path, cache=tmp_path / "cache")
