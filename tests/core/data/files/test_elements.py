"""Elements of an array are the same whether numpy leaps over them or every token is looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.data.files import lines, scan
from core.data.files.source import open_source

PIECES = st.sampled_from(
    [
        '{"a":1}',
        '{"a":"x,]}"}',
        '"\\"',
        '"\\\\"',
        "[1,[2]]",
        ",",
        ",",
        ",\n",
        "\n",
        " ",
        "1",
        "null",
    ]
    + ["{", "}", "[", "]", '"', "\\", '"é', '{"b":\n[{}]}', '{"c":"\\\\\\""}']
)
BOUNDED = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def rows_of(path: Path, leap_bytes: int, block_bytes: int) -> list[tuple[int, bytes]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "LEAST_LEAP_BYTES", leap_bytes)
        patch.setattr(scan, "BLOCK_BYTES", block_bytes)
        patch.setattr(scan, "MOST_CARRY_BYTES", 40)
        with open_source(path, cache=path.parent / "cache") as source:
            return [(source.place(index)[1], source.raw(index)) for index in range(len(source))]


@BOUNDED
@given(st.lists(PIECES, max_size=30), st.sampled_from([1, 7, 20, 1 << 20]))
def test_leaps_find_what_tokens_find(tmp_path: Path, pieces: list[str], block_bytes: int) -> None:
    path = tmp_path / "a.json"
    path.write_text("[" + "".join(pieces))
    expected = rows_of(path, 1 << 30, 1 << 20)
    assert rows_of(path, 0, block_bytes) == expected
    path.write_text("[" + ",".join(pieces) + "]")
    assert rows_of(path, 0, block_bytes) == rows_of(path, 1 << 30, 1 << 20)


@BOUNDED
@given(st.lists(st.sampled_from(["\n", " \n", "x\n", " x\n", "\r\n", "x", " "]), max_size=40))
def test_lines_are_the_same_in_plain_python_and_in_numpy(tmp_path: Path, pieces: list[str]) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(pieces))
    found = []
    for first, block in ((1 << 20, 1), (1, 1 << 20), (1, 3)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lines, "FIRST_BLOCK_BYTES", first)
            patch.setattr(lines, "BLOCK_BYTES", block)
            source = open_source(path)
        found.append([(source.place(n)[1], source.raw(n)) for n in range(len(source))])
    assert found[0] == found[1] == found[2]
