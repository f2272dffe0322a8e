"""Measurements in children: what becomes of those that take too much."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from core.errors import AfinaError
from core.train.probe import children
from core.train.probe.children import CANCELLED, NO_MEMORY, TOO_LATE, Limits

ROOM = Limits(None, 60.0)
BLOCK = 200 * 2**20


def never() -> bool:
    return False


def test_a_child_gives_back_plain_values() -> None:
    outcome = children.run(lambda: {"pid": os.getpid()}, ROOM, never)
    assert outcome.result["pid"] != os.getpid() and not outcome.ended


def raises_memory_error() -> None:
    raise MemoryError


def is_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)  # as the system does where memory is gone


@pytest.mark.parametrize("work", [raises_memory_error, is_killed])
def test_an_end_for_want_of_memory_is_an_outcome(work) -> None:  # noqa: ANN001
    assert children.run(work, ROOM, never).ended == NO_MEMORY


def test_a_child_is_ended_at_its_limit_before_the_machine_suffers() -> None:
    from core.train.memory import resident_bytes

    def takes_much() -> None:
        held = [bytearray(b"x") * BLOCK]
        time.sleep(60 * len(held))

    # a child has the pages of its parent's files only once it touches them
    limit = (resident_bytes("RssAnon") or 0) + BLOCK // 2
    outcome = children.run(takes_much, Limits(limit, 60.0), never)
    assert outcome.ended == NO_MEMORY and outcome.bytes_seen > limit


def test_a_child_that_takes_too_long_or_is_not_wanted_any_more_is_ended(tmp_path: Path) -> None:
    told = tmp_path / "pid"

    def hangs() -> None:
        told.write_text(str(os.getpid()))
        time.sleep(60)

    assert children.run(hangs, Limits(None, 0.2), never).ended == TOO_LATE
    told.unlink(missing_ok=True)
    assert children.run(hangs, ROOM, told.exists).ended == CANCELLED
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text() or "0") or 2**22, 0)


def test_another_fault_is_told() -> None:
    def fails() -> None:
        raise ValueError("no such thing")

    with pytest.raises(AfinaError, match="ValueError: no such thing"):
        children.run(fails, ROOM, never)

    def aborts() -> None:
        os.abort()

    with pytest.raises(AfinaError, match="SIGABRT"):
        children.run(aborts, ROOM, never)
