"""Folders, patterns, saved datasets and mixtures: many files as one source."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from core.data.files import concatenated
from core.data.files.source import Source, Span, begin_source, looks_like_data, open_source
from core.errors import AfinaError


def write(path: Path, *names: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"n": name}) + "\n" for name in names))
    return path


def names_of(source: Source) -> list[object]:
    return [row.value["n"] if isinstance(row.value, dict) else row.problem for row in source]


def test_the_files_of_a_folder_are_one_source_in_natural_order(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for number in (10, 2, 1):
        write(folder / f"part-{number}.jsonl", f"{number}a", f"{number}b")
    (folder / "part-3.csv").write_text("n\n3a\n")
    (folder / "empty.jsonl").write_text("")
    with open_source(folder) as source:
        assert names_of(source) == ["1a", "1b", "2a", "2b", "3a", "10a", "10b"]
        assert [path.name for path in source.files] == [
            *("empty.jsonl", "part-1.jsonl", "part-2.jsonl", "part-3.csv", "part-10.jsonl")
        ]
        assert source.place(6) == (folder / "part-10.jsonl", 2)
        assert source.place(4) == (folder / "part-3.csv", 2)
        assert source.raw(5) == b'{"n": "10a"}'
        assert [row.index for row in source.rows(1, 6)] == [1, 2, 3, 4, 5]
        assert source.weights() == [Span(0, 7, 1.0)]
        for index in (-1, 7):
            with pytest.raises(IndexError):
                source.row(index)


def test_a_problem_has_its_row_among_all_and_its_line_in_the_file(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.jsonl", 1, 2)
    (tmp_path / "data" / "b.jsonl").write_text('{"n": 3}\n{"n"\n{"n": 1, "n": 2}\n')
    with open_source(tmp_path / "data") as source:
        broken, doubled = source.row(3), source.row(4)
    assert broken.problem is not None
    assert (broken.problem.row, broken.problem.line) == (4, 2)
    assert (doubled.warnings[0].row, doubled.warnings[0].line) == (5, 3)


def test_what_is_no_data_in_a_folder_is_skipped_and_said(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    write(folder / "a.jsonl", 1)
    write(folder / ".hidden.jsonl", 2)
    write(folder / "inner" / "b.jsonl", 3)
    for name in ("README.md", "model.bin", "dataset_info.json"):
        (folder / name).write_text("{}")
    os.mkfifo(folder / "pipe.jsonl")
    (folder / "loop.jsonl").symlink_to(folder / "loop.jsonl")
    (folder / "lost.jsonl").symlink_to(folder / "nothing.jsonl")
    (folder / "same.jsonl").symlink_to(folder / "a.jsonl")
    (folder / "circle").symlink_to(folder)
    with open_source(folder) as source:
        assert names_of(source) == [1]
        assert {path.name: why for path, why in source.skipped} == {
            ".hidden.jsonl": "hidden",
            "inner": "a folder",
            "circle": "a folder",
            "README.md": "text beside tables",
            "model.bin": "not a data file by its ending",
            "dataset_info.json": "a description of data",
            "pipe.jsonl": "not a regular file",
            "loop.jsonl": "a link in a circle",
            "lost.jsonl": "a link to nothing",
            "same.jsonl": "the same file as a.jsonl",
        }
        said = source.problems
    assert len(said) == 10
    assert {(item.row, item.check, item.severity) for item in said} == {(0, "skipped_file", "note")}


def test_a_pattern_names_files_and_goes_into_folders(tmp_path: Path) -> None:
    write(tmp_path / "a-2.jsonl", 2)
    write(tmp_path / "a-10.jsonl", 10)
    write(tmp_path / "b.jsonl", "b")
    write(tmp_path / "inner" / "a-3.jsonl", 3)
    (tmp_path / "inner" / "circle").symlink_to(tmp_path)
    assert names_of(open_source(tmp_path / "a-*.jsonl")) == [2, 10]
    assert names_of(open_source(tmp_path / "**" / "*.jsonl")) == [2, 10, "b", 3]
    odd = write(tmp_path / "odd[1].jsonl", "odd")
    assert names_of(open_source(odd)) == ["odd"]
    with pytest.raises(AfinaError, match="No data file matches"):
        begin_source(tmp_path / "c-*.jsonl")


def test_a_folder_without_data_names_its_folders(tmp_path: Path) -> None:
    write(tmp_path / "train" / "a.jsonl", 1)
    with pytest.raises(AfinaError, match="no data file in the folder") as caught:
        begin_source(tmp_path)
    assert "train" in caught.value.hint


def test_a_mixture_holds_every_row_once_and_says_the_weights(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", 1, 2)
    second = write(tmp_path / "b.jsonl", 3)
    write(tmp_path / "more" / "c.jsonl", 4, 5)
    write(tmp_path / "more" / "d.jsonl", 6)
    mix = {str(second): 0.5, str(tmp_path / "more"): 2.0}
    with open_source(first, mix) as source:
        assert names_of(source) == [1, 2, 3, 4, 5, 6]
        assert source.weights() == [Span(0, 2, 1.0), Span(2, 3, 0.5), Span(3, 6, 2.0)]
        assert len(source.files) == 4
        assert source.place(5) == (tmp_path / "more" / "d.jsonl", 1)


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf")])
def test_a_weight_that_means_nothing_is_refused(tmp_path: Path, weight: float) -> None:
    path = write(tmp_path / "a.jsonl", 1)
    with pytest.raises(AfinaError, match="The weight of"):
        begin_source(path, {str(path): weight})


def test_the_weight_of_the_first_file_can_be_given_too(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", 1)
    assert open_source(path, {str(path): 3}).weights() == [Span(0, 1, 3.0)]


def test_a_new_a_changed_and_a_lost_file_are_changes(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    write(folder / "a.jsonl", 1)
    source = open_source(folder)
    before = source.content_hash()
    assert not source.changed()
    write(folder / "b.jsonl", 2)
    assert source.changed()
    assert names_of(source.index()) == [1, 2]
    assert source.content_hash() != before
    write(folder / "b.jsonl", 2, 3)
    assert source.changed()
    assert names_of(source.index()) == [1, 2, 3]
    (folder / "a.jsonl").unlink()
    assert source.changed()
    assert names_of(source.index()) == [2, 3]
    (folder / "b.jsonl").unlink()
    assert source.changed()


def test_the_hash_of_many_files_needs_no_index(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / "data" / f"{number}.jsonl", number)
    begun = begin_source(tmp_path / "data").content_hash()
    assert begun == open_source(tmp_path / "data").content_hash()
    write(tmp_path / "data" / "2.jsonl", "another")
    assert begin_source(tmp_path / "data").content_hash() != begun


def test_few_of_many_files_are_open_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concatenated, "OPEN_FILES", 3)
    for number in range(40):
        write(tmp_path / "data" / f"{number}.jsonl", number)
    source = open_source(tmp_path / "data")

    def opened() -> int:
        links = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
        return sum(link.startswith(str(tmp_path)) for link in links)

    assert opened() <= 3
    assert names_of(source) == list(range(40))
    assert opened() <= 3
    write(tmp_path / "data" / "7.jsonl", "another")
    (tmp_path / "data" / "8.jsonl").unlink()
    for index in (7, 8):
        found = source.row(index).problem
        assert found is not None
        assert found.check == "file_changed"


def test_rows_can_be_read_while_a_folder_is_indexed_and_it_can_be_cancelled(
    tmp_path: Path,
) -> None:
    for number in range(5):
        write(tmp_path / "data" / f"{number}.jsonl", number)
    source = begin_source(tmp_path / "data")
    seen: list[list[object]] = []
    source.index(lambda done, total: seen.append(names_of(source)) if done <= total else None)
    assert [0] in seen
    assert [0, 1, 2] in seen
    source.index(cancelled=lambda: len(source) == 3)
    assert not source.indexed
    assert names_of(source) == [0, 1, 2]
    assert names_of(source.index()) == [0, 1, 2, 3, 4]


def save(folder: Path, splits: dict[str, int], rearranged: bool = False) -> Path:
    """A folder as datasets.save_to_disk writes it, each split with so many rows in two files."""
    import pyarrow

    for split, count in splits.items():
        inner = folder / split if split else folder
        inner.mkdir(parents=True, exist_ok=True)
        files = []
        for number in range(2):
            table = pyarrow.table({"n": [f"{split}{n}" for n in range(number, count, 2)]})
            files.append({"filename": f"data-0000{number}-of-00002.arrow"})
            with pyarrow.ipc.new_stream(str(inner / files[-1]["filename"]), table.schema) as out:
                out.write_table(table)
        state: dict[str, object] = {"_data_files": files}
        if rearranged:
            state["_indices_data_files"] = [{"filename": "indices.arrow"}]
        (inner / "state.json").write_text(json.dumps(state))
        (inner / "dataset_info.json").write_text("{}")
    if "" not in splits:
        (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(splits)}))
    return folder


def test_a_saved_dataset_is_read_in_its_order(tmp_path: Path) -> None:
    with open_source(save(tmp_path / "saved", {"": 3})) as source:
        assert names_of(source) == ["0", "2", "1"]


def test_of_saved_splits_train_is_read_the_others_are_said_and_can_be_named(tmp_path: Path) -> None:
    folder = save(tmp_path / "saved", {"test": 2, "train": 4})
    with open_source(folder) as source:
        assert names_of(source) == ["train0", "train2", "train1", "train3"]
        assert source.skipped == [
            (folder / "test", f'another split; name "{folder / "test"}"'),
        ]
    assert names_of(open_source(folder / "test")) == ["test0", "test1"]


def test_saved_folders_that_cannot_be_read_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(AfinaError, match="holds the splits a, b"):
        begin_source(save(tmp_path / "splits", {"a": 1, "b": 1}))
    with pytest.raises(AfinaError, match="rearranged"):
        begin_source(save(tmp_path / "shuffled", {"": 1}, rearranged=True))
    lost = save(tmp_path / "lost", {"": 2})
    (lost / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(AfinaError, match="lacks its file"):
        begin_source(lost)
    (lost / "state.json").write_text("[]")
    with pytest.raises(AfinaError, match="doesn't name"):
        begin_source(lost)


def test_what_looks_like_data_is_told_without_reading(tmp_path: Path) -> None:
    path = write(tmp_path / "data" / "a.jsonl", 1)
    for good in (path, tmp_path / "data", tmp_path / "data" / "*.jsonl", "no-such-owner/dataset"):
        assert looks_like_data(good) is None
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.xls").write_text("")
    for name, words in {
        "nothing.jsonl": "There is no file",
        "empty": "no data file in the folder",
        "a.xls": 'Can\'t read ".xls" files',
        "*.csv": "No data file matches",
    }.items():
        assert words in (looks_like_data(tmp_path / name) or "")
