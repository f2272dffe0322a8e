"""The high-water mark of a process."""

from __future__ import annotations

from core.train import memory

BLOCK = 64 * 2**20


def test_the_mark_stays_where_memory_was_given_back_and_can_be_begun_anew() -> None:
    memory.forget("cpu")
    before = memory.peak_bytes("cpu")
    block = bytearray(BLOCK)
    del block
    high = memory.peak_bytes("cpu")
    assert high >= before + BLOCK * 0.9
    memory.forget("cpu")
    assert memory.peak_bytes("cpu") < high - BLOCK * 0.5


def test_what_the_system_does_not_say_is_none() -> None:
    assert memory.resident_bytes("VmNothing") is None
    assert (memory.resident_bytes() or 0) > 2**20
