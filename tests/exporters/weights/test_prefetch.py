"""Work on several threads: results in order, few at a time, and an end for what goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from core.runs.target import Target
from exporters.contract import Working, exporter_class
from exporters.weights import prefetch
from exporters.weights.prefetch import AHEAD, in_order


def test_results_come_in_order_and_only_a_few_are_made_ahead() -> None:
    made: list[int] = []

    def tasks() -> Iterator[Callable[[], int]]:
        for number in range(40):
            made.append(number)
            yield lambda number=number: number * number

    for place, value in enumerate(in_order(tasks(), 2, lambda: None)):
        assert value == place * place
        assert len(made) <= place + 2 + AHEAD
    assert len(made) == 40


def test_what_a_task_raises_ends_the_others() -> None:
    def fail() -> int:
        raise TimeoutError("its own")

    found = in_order([lambda: 1, fail, lambda: 3], 1, lambda: None)
    assert next(found) == 1
    with pytest.raises(TimeoutError, match="its own"):
        next(found)


def test_a_check_is_heard_while_a_task_is_at_work() -> None:
    begun, free = threading.Event(), threading.Event()
    calls = []

    def slow() -> bool:
        begun.set()
        return free.wait(60)

    def check() -> None:
        calls.append(begun.wait(60))
        if len(calls) == 3:
            free.set()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(in_order([slow], 1, check))
    assert calls == [True, True, True]


def test_tasks_at_work_are_told_of_the_end() -> None:
    begun, ended = threading.Event(), threading.Event()
    heard = []

    def slow() -> None:
        begun.set()
        heard.append(ended.wait(60))

    def check() -> None:
        assert begun.wait(60)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(in_order([slow], 1, check, ended.set))
    assert heard == [True]


@pytest.mark.parametrize(("kind", "type_name"), [("gguf", "f16"), ("merged", "bf16")])
def test_an_export_keeps_to_the_threads_that_it_is_lent(
    tuned: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, type_name: str
) -> None:
    counts: list[int] = []

    def pool(threads: int, **options: Any) -> ThreadPoolExecutor:
        counts.append(threads)
        return ThreadPoolExecutor(threads, **options)

    monkeypatch.setattr(prefetch, "ThreadPoolExecutor", pool)
    working = Working(lambda *said: None, lambda: None, tmp_path, 3)
    exporter_class(kind)(tuned).write({type_name: tmp_path / "x"}, working)
    assert counts == [3]
