"""Written bytes go to the disk while more are made."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from exporters.weights import flush


def test_files_are_synced_after_some_bytes_and_left_alone_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = threading.Event()
    monkeypatch.setattr(os, "fdatasync", lambda file: synced.set(), raising=False)
    monkeypatch.setattr(flush, "EVERY_BYTES", 100)
    with open(tmp_path / "x", "wb") as file:
        with flush.Flush([file]) as work:
            work.wrote(60)
            assert not synced.wait(0.05)
            work.wrote(60)
            assert synced.wait(10)
        file.write(b"more")
    assert (tmp_path / "x").read_bytes() == b"more"


def test_a_disk_that_fails_is_left_to_the_last_fsync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()

    def fail(file: int) -> None:
        failed.set()
        raise OSError("no disk")

    monkeypatch.setattr(os, "fdatasync", fail, raising=False)
    with open(tmp_path / "x", "wb") as file, flush.Flush([file]) as work:
        work.wrote(flush.EVERY_BYTES)
        assert failed.wait(10)
        work.wrote(flush.EVERY_BYTES)
        file.write(b"on")
    assert (tmp_path / "x").read_bytes() == b"on"
