"""Sends what is written of large files to the disk while more of it is made.

The system would keep a gigabyte in memory until the last fsync, and then the disk works while the
processor waits.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import BinaryIO

EVERY_BYTES = 64 * 2**20


class Flush:
    """A thread that syncs open files; it ends by itself, and nobody waits for it."""

    def __init__(self, files: Sequence[BinaryIO]) -> None:
        self._bytes = 0
        self._ended = False
        self._enough = threading.Event()
        # copies, since the files may be closed while the disk is busy
        copies = [os.dup(file.fileno()) for file in files]
        threading.Thread(target=self._sync, args=(copies,), daemon=True).start()

    def __enter__(self) -> Flush:
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended = True
        self._enough.set()

    def wrote(self, count: int) -> None:
        """So many bytes more."""
        self._bytes += count
        if self._bytes >= EVERY_BYTES:
            self._bytes = 0
            self._enough.set()

    def _sync(self, files: list[int]) -> None:
        sync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync
        try:
            while self._enough.wait() and not self._ended:
                self._enough.clear()
                for file in files:
                    sync(file)
        except OSError:
            pass  # a disk that fails is told of by the last fsync
        finally:
            for file in files:
                os.close(file)
