"""Folders that count only when they are whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.runs.run import is_complete
from core.train.checkpoint import manifest as checkpoints


def write(run: Path, step: int, text: str = "weights") -> Path:
    folder = checkpoints.step_folder(run, step)

    def fill(target: Path) -> None:
        (target / "weights.bin").write_text(text)
        (target / "inner").mkdir()
        (target / "inner" / "more.bin").write_text("more")

    checkpoints.write(folder, step, fill, {"tokens": step * 10})
    return folder


def test_a_manifest_names_every_file_with_its_size_and_hash(tmp_path: Path) -> None:
    folder = write(tmp_path, 7)
    manifest = checkpoints.read(folder)
    assert manifest is not None
    assert set(manifest.files) == {"weights.bin", "inner/more.bin"}
    assert (manifest.step, manifest.bytes, manifest.progress) == (7, 11, {"tokens": 70})
    assert checkpoints.damage(folder) is None


def test_the_manifest_comes_last(tmp_path: Path) -> None:
    folder = tmp_path / "step-000001"
    seen = []

    def fill(target: Path) -> None:
        (target / "weights.bin").write_text("x")
        seen.append(is_complete(target))

    checkpoints.write(folder, 1, fill, {})
    assert seen == [False]
    assert is_complete(folder)


def test_a_folder_that_fails_to_fill_is_removed(tmp_path: Path) -> None:
    def fill(target: Path) -> None:
        (target / "weights.bin").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        checkpoints.write(tmp_path / "step-000001", 1, fill, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda folder: (folder / "weights.bin").unlink(), "weights.bin is missing"),
        (lambda folder: (folder / "weights.bin").write_text("w"), "has 1 bytes instead of 7"),
        (lambda folder: (folder / "weights.bin").write_text("WEIGHTS"), "was changed"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "no manifest"),
    ],
)
def test_damage_is_found_and_said(tmp_path: Path, harm: object, words: str) -> None:
    folder = write(tmp_path, 1)
    harm(folder)  # type: ignore[operator]
    assert words in (checkpoints.damage(folder) or "")


def test_the_newest_whole_checkpoint_is_chosen_and_damaged_ones_are_named(tmp_path: Path) -> None:
    oldest, middle, newest = (write(tmp_path, step) for step in (5, 10, 900))
    (newest / "weights.bin").write_text("WEIGHTS")
    (tmp_path / "checkpoints" / "step-001000").mkdir()  # what a crash left
    folder, passed = checkpoints.newest_whole(tmp_path)
    assert folder == middle
    assert len(passed) == 1 and "step-000900" in passed[0]
    (middle / "manifest.json").unlink()
    assert checkpoints.newest_whole(tmp_path)[0] == oldest


def test_without_any_there_is_none(tmp_path: Path) -> None:
    assert checkpoints.newest_whole(tmp_path) == (None, [])


def test_what_a_crash_left_is_removed_and_the_rest_stays(tmp_path: Path) -> None:
    whole = write(tmp_path, 5)
    (tmp_path / "checkpoints" / "step-000010").mkdir()
    (tmp_path / "adapter").mkdir()
    assert sorted(checkpoints.remove_leftovers(tmp_path)) == ["adapter", "step-000010"]
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]
    assert is_complete(whole)


def test_the_newest_and_the_best_are_never_pruned(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4, 5):
        write(tmp_path, step)
    assert checkpoints.prune(tmp_path, 2, best_step=2) == ["step-000001", "step-000003"]
    left = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert left == ["step-000002", "step-000004", "step-000005"]
    assert checkpoints.prune(tmp_path, 1, best_step=None) == ["step-000002", "step-000004"]


def test_the_best_stays_when_it_is_the_oldest_and_one_is_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        write(tmp_path, step)
        checkpoints.prune(tmp_path, 1, best_step=1)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "step-000001",
        "step-000003",
    ]


def test_steps_from_a_million_on_are_the_newest(tmp_path: Path) -> None:
    write(tmp_path, 999_999)
    newest = write(tmp_path, 1_000_000)
    assert checkpoints.newest_whole(tmp_path)[0] == newest
    assert checkpoints.prune(tmp_path, 1, best_step=None) == ["step-999999"]


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (RuntimeError("[enforce fail at inline_container.cc] . PytorchStreamWriter failed"), 5),
        (type("SafetensorError", (Exception,), {})("I/O error: No space (os error 28)"), 28),
    ],
)
def test_what_libraries_say_of_a_disk_is_said_as_the_disk_says_it(
    tmp_path: Path, error: Exception, number: int
) -> None:
    def fill(target: Path) -> None:
        raise error

    with pytest.raises(OSError) as caught:
        checkpoints.write(tmp_path / "step-000001", 1, fill, {})
    assert caught.value.errno == number
