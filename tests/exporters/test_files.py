"""Naming a checked export: whenever it ends early, the old one is there or the new, never half."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporters import files as publishing
from exporters import results as results_module
from exporters.files import discard, mend, publish, sha256_of
from exporters.results import (
    PUBLISHING,
    Origin,
    Result,
    bytes_of,
    entry_of,
    failed_path,
    part,
    results,
)

OPERATIONS = (  # every step that changes the disk
    (os, "rename"),
    (os, "replace"),
    (shutil, "rmtree"),
    (Path, "unlink"),
    (publishing, "write_atomic"),
    (results_module, "write_atomic"),
)
FILE, FOLDER, OUTSIDE = "gguf/m-f16.gguf", "merged/m-bf16", "../shared/m.onnx_adapter"


class Killed(BaseException):
    """The process is gone."""


def make(path: Path, word: str) -> None:
    """An export of one file, or of two in a folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.startswith("m-bf16"):
        path.mkdir()
        (path / "config.json").write_text(word)
        path /= "model.safetensors"
    path.write_text(word * 10)


def offer(folder: Path, place: str, word: str, verdict: str = "pass") -> None:
    """Publishes a new export of a place; `word` is in its bytes and its result."""
    final = Path(os.path.normpath(folder / place))
    if verdict == "fail":
        final = failed_path(final)
    make(part(final), word)
    size = bytes_of(part(final))
    assert size is not None
    result = Result(str(final), place.partition("/")[0], word, size, verdict)
    publish(folder, result, entry_of(result, sha256_of(part(final)), Origin("m", "m")))


def state(folder: Path) -> list[tuple[str, str]]:
    """What counts: the word in each result, and the word in its bytes."""
    found = []
    for result in results(folder):
        path = Path(result.path)
        file = path / "model.safetensors" if path.is_dir() else path
        found.append((result.type, file.read_text()[:3]))
    return found


def names(folder: Path) -> list[str]:
    shared = folder.parent / "shared"
    paths = [*folder.glob("*"), *folder.glob("*/*"), *shared.glob("*")]
    return sorted(path.name for path in paths)


@pytest.mark.parametrize("place", [FILE, FOLDER, OUTSIDE])
def test_a_new_export_takes_the_place_of_an_earlier_one(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    offer(folder, place, "old")
    offer(folder, place, "new!")  # of another size
    assert state(folder) == [("new!", "new")]
    assert not [name for name in names(folder) if name.endswith((".part", ".old", PUBLISHING))]


@pytest.mark.parametrize("error", [Killed(), OSError(errno.ENOSPC, "full")])
@pytest.mark.parametrize("place", [FILE, FOLDER, OUTSIDE])
def test_whenever_it_ends_early_the_old_export_is_there_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, error: BaseException
) -> None:
    seen = []
    for moment in range(1, 40):
        folder = tmp_path / str(moment) / "exports"
        folder.mkdir(parents=True)
        offer(folder, FILE.replace("f16", "q8_0"), "one")
        offer(folder, place, "old")
        before = names(folder)
        with monkeypatch.context() as patch:
            left = end_at(patch, moment, error)
            ended = False
            try:
                offer(folder, place, "new")
            except (Killed, OSError):
                ended = True
        if ended:
            seen.append(state(folder)[-1][0])
            first = state(folder)
            mend(folder, [Path(os.path.normpath(folder / place))])
            assert state(folder)[0] == ("one", "one")
            assert state(folder)[1] in (("old", "old"), ("new", "new"))
            if len(first) == 2:  # but for a folder that stands aside for a moment
                assert state(folder) == first
            assert names(folder) == before
        else:
            assert left() > 0
            break
    assert {"old", "new"} <= set(seen) and len(seen) >= 5
    assert all(word == "new" for word in seen[seen.index("new") :])  # and it stays so


def end_at(patch: pytest.MonkeyPatch, moment: int, error: BaseException) -> Callable[[], int]:
    """Raises an error instead of the disk's n-th change; how many were left is what it returns."""
    left = [moment]

    def counted(work: Callable[..., Any]) -> Callable[..., Any]:
        def step(*values: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] <= 0:
                raise error
            return work(*values, **options)

        return step

    for place, name in OPERATIONS:
        patch.setattr(place, name, counted(getattr(place, name)))
    return lambda: left[0]


def test_one_that_fails_never_replaces_one_that_passed(tmp_path: Path) -> None:
    for place in (FILE, FOLDER):
        folder = tmp_path / place.partition("/")[0]
        folder.mkdir()
        offer(folder, place, "old")
        offer(folder, place, "bad", verdict="fail")
        assert state(folder) == [("old", "old"), ("bad", "bad")]
        offer(folder, place, "new")
        assert state(folder) == [("new", "new")]
        assert not any("failed" in name for name in names(folder))


def test_folders_that_hold_nothing_go(tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    outside = tmp_path / "shared" / "base-int4" / "adapters" / "a.onnx_adapter"
    for path in (folder / FILE, folder / FOLDER, outside):
        make(part(path), "new")
    mend(folder, [outside])
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["exports", "shared"]


def test_an_export_of_another_point_of_the_run_works_on(tmp_path: Path) -> None:
    at_work = [tmp_path / "25" / name for name in ("compared.part", "scratch.part")]
    for path in at_work:
        path.mkdir(parents=True)
    mend(tmp_path)
    assert all(path.is_dir() for path in at_work)


def test_a_discarded_export_is_gone_with_its_result(tmp_path: Path) -> None:
    for place in (FILE, FOLDER):
        offer(tmp_path, place, "old")
        discard(tmp_path, tmp_path / place)
        assert state(tmp_path) == [] and not (tmp_path / place).exists()


def test_what_lies_beside_an_export_goes_with_it(tmp_path: Path) -> None:
    for place, ending in ((FILE, ".Modelfile"), ("onnx/b/adapters/m.onnx_adapter", ".jinja")):
        offer(tmp_path, place, "old")
        beside, other = (
            (tmp_path / place).with_suffix(ending),
            (tmp_path / place).with_suffix(".txt"),
        )
        beside.touch()
        other.touch()
        discard(tmp_path, tmp_path / place)
        assert not beside.exists() and other.exists()


def test_a_folder_that_lost_a_file_is_no_result(tmp_path: Path) -> None:
    offer(tmp_path, FOLDER, "old")
    (tmp_path / FOLDER / "config.json").unlink()
    assert state(tmp_path) == []


def test_the_hash_of_a_folder_is_that_of_its_names_and_hashes(tmp_path: Path) -> None:
    (tmp_path / "a" / "z").mkdir(parents=True)
    (tmp_path / "a" / "z" / "y").write_bytes(b"one")
    (tmp_path / "a" / "x").write_bytes(b"twice")
    lines = [f"x {digest(b'twice')}\n", f"z/y {digest(b'one')}\n"]
    done: list[int] = []
    assert sha256_of(tmp_path / "a", done.append) == digest("".join(lines).encode())
    assert done == [5, 8]
    assert sha256_of(tmp_path / "a" / "x") == digest(b"twice")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
