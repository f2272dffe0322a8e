"""The files that views are written to."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.data.worker.views import Viewing


@pytest.fixture
def eager() -> Iterator[None]:
    """Threads that give way to each other at every chance."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("eager")
def test_views_that_are_answered_at_once_never_share_a_file() -> None:
    viewing, taken = Viewing(), list[Path]()
    both = threading.Barrier(4)

    def answer() -> None:
        both.wait(20)
        taken.extend(viewing._next() for _ in range(2000))

    threads = [threading.Thread(target=answer) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    viewing.close()
    assert len(taken) == len(set(taken)) == 8000
