"""Things made ahead in a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from core.train.loader.prefetch import Prefetch


def test_items_come_in_order_and_end() -> None:
    assert list(Prefetch(range(50), 3)) == list(range(50))


def test_no_more_than_its_depth_is_made_ahead() -> None:
    made = 0
    waits = threading.Event()

    def items() -> Iterator[int]:
        nonlocal made
        for number in range(100):
            made += 1
            if made == 4:  # one was taken, two wait: this one is made and must wait for room
                waits.set()
            yield number

    ahead = Prefetch(items(), 2)
    assert made == 0
    assert next(ahead) == 0
    assert not waits.wait(0.05)
    assert next(ahead) == 1
    assert waits.wait(10)
    ahead.close()
    assert made == 4


def test_what_the_thread_raises_is_raised_where_the_items_are_taken() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    ahead = Prefetch(items(), 2)
    assert next(ahead) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(ahead)


def test_items_that_can_not_begin_are_told_too() -> None:
    class Gone:
        def __iter__(self) -> Iterator[int]:
            raise OSError("there is no disk")

    with pytest.raises(OSError, match="there is no disk"):
        next(Prefetch(Gone(), 2))


def test_closing_ends_the_thread_and_what_it_reads() -> None:
    ended = []

    def items() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            ended.append(threading.current_thread().name)

    ahead = Prefetch(items(), 2)
    next(ahead)
    ahead.close()
    assert ended == ["afina-feed"]
    assert not [thread for thread in threading.enumerate() if thread.name == "afina-feed"]
