"""Pending edits survive the app, find their row again in a changed file, and are never lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.data.edit.edits import EditedSource, Edits
from core.data.files.source import open_source
from core.errors import AfinaError

Write = Callable[..., Path]
ROWS: list[object] = [{"text": f"row {n}"} for n in range(6)]


def values(path: Path, home: Path) -> list[Any]:
    source = open_source(path)
    edited = EditedSource(source, Edits.load(source, home))
    assert [json.loads(edited.raw(index)) for index in range(len(edited))] == [
        row.value for row in edited
    ]
    return [row.value for row in edited]


@pytest.fixture
def edited(write_rows: Write, tmp_path: Path) -> Path:
    path = write_rows(ROWS)
    source = open_source(path)
    edits = Edits.load(source, tmp_path)
    edits.edit(source, 2, {"text": "new", "n": float("inf"), "big": 10**40})
    edits.drop(source, [4, 5])
    edits.drop(source, [5], on=False)
    return path


def test_edits_and_drops_come_back(edited: Path, tmp_path: Path) -> None:
    edits = Edits.load(open_source(edited), tmp_path)
    assert (sorted(edits.edited), sorted(edits.dropped), edits.lost) == ([2], [4], [])
    assert values(edited, tmp_path)[2] == {"text": "new", "n": float("inf"), "big": 10**40}
    assert values(edited, tmp_path)[3] == {"text": "row 3"}


def test_an_edit_finds_its_row_in_a_file_that_has_changed(
    edited: Path, write_rows: Write, tmp_path: Path
) -> None:
    write_rows([{"text": "first"}, *ROWS])
    edits = Edits.load(open_source(edited), tmp_path)
    assert (sorted(edits.edited), sorted(edits.dropped), edits.lost) == ([3], [5], [])


def test_copies_of_a_row_keep_an_edit_each(write_rows: Write, tmp_path: Path) -> None:
    path = write_rows([{"text": "same"}] * 4)
    source = open_source(path)
    edits = Edits.load(source, tmp_path)
    edits.edit(source, 0, {"text": "a"})
    edits.edit(source, 3, {"text": "b"})
    write_rows([{"text": "x"}] + [{"text": "same"}] * 4)
    assert [value["text"] for value in values(path, tmp_path)] == ["x", "a", "same", "b", "same"]


def test_an_edit_whose_row_is_gone_is_kept_until_the_row_is_back(
    edited: Path, write_rows: Write, tmp_path: Path
) -> None:
    write_rows([{"text": "other"}])
    source = open_source(edited)
    edits = Edits.load(source, tmp_path)
    assert (len(edits), [item.row for item in edits.lost]) == (0, [2, 4])
    edits.edit(source, 0, {"text": "more"})
    write_rows([*ROWS, {"text": "other"}])
    edits = Edits.load(open_source(edited), tmp_path)
    assert (sorted(edits.edited), sorted(edits.dropped), edits.lost) == ([2, 6], [4], [])


def test_taking_the_last_change_back_leaves_no_file(edited: Path, tmp_path: Path) -> None:
    source = open_source(edited)
    edits = Edits.load(source, tmp_path)
    assert edits.place.is_file()
    assert edits.place.parent == tmp_path / "edits"
    edits.undo(2)
    edits.drop(source, [4], on=False)
    assert not edits.place.exists()
    assert values(edited, tmp_path) == ROWS


def test_edits_that_can_not_be_read_are_said_and_left_alone(edited: Path, tmp_path: Path) -> None:
    place = Edits.load(open_source(edited), tmp_path).place
    place.write_text('{"v": 1, "rows": [[1,')
    with pytest.raises(AfinaError, match="Can't read the pending edits"):
        Edits.load(open_source(edited), tmp_path)
    assert place.read_text().startswith('{"v": 1')


def test_two_files_have_edits_of_their_own(edited: Path, write_rows: Write, tmp_path: Path) -> None:
    other = write_rows(ROWS, "other.jsonl")
    assert values(other, tmp_path) == ROWS
    kept = json.loads(Edits.load(open_source(edited), tmp_path).place.read_text())
    assert kept["path"] == str(edited)


def test_edited_rows_of_a_mixture_keep_their_places_and_weights(
    write_rows: Write, tmp_path: Path
) -> None:
    first = write_rows(ROWS)
    other = tmp_path / "other.jsonl"
    other.write_text('{"text": "other"}\n')
    with open_source(first, {str(other): 0.5}) as source:
        edited = EditedSource(source, Edits.load(source, tmp_path))
        assert edited.place(6) == (other, 1)
        assert edited.weights() == source.weights()
        assert edited.weights()[-1].weight == 0.5
