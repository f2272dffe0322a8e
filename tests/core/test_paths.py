"""Files that are written as a whole: what they hold, and who may read them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.paths import write_atomic


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("umask")
def test_a_new_file_has_the_rights_that_the_umask_leaves(tmp_path: Path) -> None:
    write_atomic(tmp_path / "result.json", "{}")
    assert mode(tmp_path / "result.json") == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.usefixtures("umask")
def test_a_file_that_is_replaced_keeps_its_rights(tmp_path: Path) -> None:
    path = tmp_path / "keymap.yaml"
    path.write_text("old")
    path.chmod(0o604)
    write_atomic(path, "new")
    assert (path.read_text(), mode(path)) == ("new", 0o604)


def test_nothing_is_left_of_a_write_that_failed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        write_atomic(tmp_path / "folder", "a file can't replace a folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
