"""Work on all cores whose results are wanted in order, with only a few of them in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from exporters.weights.blas_threads import on_one_thread

T = TypeVar("T")
AHEAD = 2  # results that may wait, besides one on each thread
CHECK_S = 0.1


def in_order(
    tasks: Iterable[Callable[[], T]],
    threads: int,
    check: Callable[[], None],
    on_end: Callable[[], None] = lambda: None,
) -> Generator[T]:
    """What each task returns, in their order. What one raises, or `check`, ends all of them.

    check: called several times a second. on_end: called before the end waits for tasks at work.
    numpy's products stay on the thread of their task.
    """
    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="export")
    with on_one_thread(), pool:
        try:
            for task in tasks:
                waiting.append(pool.submit(task))
                if len(waiting) >= threads + AHEAD:
                    yield _wait(waiting.popleft(), check)
            while waiting:
                yield _wait(waiting.popleft(), check)
        finally:
            on_end()
            pool.shutdown(cancel_futures=True)


def _wait(future: Future[T], check: Callable[[], None]) -> T:
    while True:
        check()
        if wait([future], timeout=CHECK_S).done:
            return future.result()
