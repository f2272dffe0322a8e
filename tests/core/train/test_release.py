"""Memory that goes back to the system."""

from __future__ import annotations

import sys

import pytest

from core.train.memory import resident_bytes
from core.train.release import give_back

PIECE, PIECES = 64 * 2**10, 1024  # below what glibc maps by itself


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc")
def test_what_was_freed_between_what_is_held_goes_back() -> None:
    pieces = [bytearray(PIECE) for _ in range(PIECES)]
    held = pieces[::8]
    del pieces
    before = resident_bytes() or 0
    give_back()
    assert before - (resident_bytes() or 0) > PIECE * PIECES // 2
    assert len(held) == PIECES // 8
