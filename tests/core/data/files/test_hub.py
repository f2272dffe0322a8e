"""Datasets of the hub: told from paths, taken from the local cache, never fetched when offline."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.data.files.hub import choose, is_dataset_id
from core.data.files.source import begin_source, open_source
from core.errors import AfinaError


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No network, and a local cache of its own; returns its folder."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_dataset_in_the_local_cache_is_read(offline: Path) -> None:
    folder = offline / "datasets--someone--travel"
    snapshot = folder / "snapshots" / "0123456789012345678901234567890123456789"
    (snapshot / "data").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(snapshot.name)
    (snapshot / "README.md").write_text("# Travel")
    for split in ("train-0", "train-1", "test-0"):
        (snapshot / "data" / f"{split}.jsonl").write_text(f'{{"n": "{split}"}}\n')
    source = begin_source("someone/travel")
    assert len(source) == 0
    with source.index():
        assert [row.value for row in source] == [{"n": "train-0"}, {"n": "train-1"}]
        assert str(source.path) == "someone/travel"
        assert [path.name for path in source.files] == ["train-0.jsonl", "train-1.jsonl"]
        assert source.place(1) == (source.files[1], 1)
        assert not source.changed()
        (problem,) = source.problems
        assert problem.check == "skipped_file"
        assert "test-0.jsonl: of another split or form" in problem.found


def test_one_that_is_not_there_is_one_sentence_when_offline() -> None:
    with pytest.raises(AfinaError, match='There is no file "someone/nothing"') as caught:
        open_source("someone/nothing")
    assert "HF_HUB_OFFLINE" in caught.value.hint


def test_a_path_of_this_machine_is_no_dataset_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    assert is_dataset_id("someone/travel")
    for name in ("here/missing", "some/rows.jsonl", "/some/where", "one", "a/b/c", "../b", "a/*"):
        assert not is_dataset_id(name)


def test_of_a_repository_the_train_files_of_one_ending_are_chosen() -> None:
    names = ["README.md", ".gitattributes", "data/test-0.parquet", "data/train-10.parquet"]
    names += ["data/train-2.parquet", "train.jsonl", "restrained.csv"]
    assert choose(names) == ["data/train-2.parquet", "data/train-10.parquet"]
    assert choose(["b.csv.gz", "a.csv", "dump.bin"]) == ["a.csv", "b.csv.gz"]
    assert choose(["README.md", "model.safetensors"]) == []
