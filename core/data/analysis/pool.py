"""Several processes that work on one file together: shards go out, and come back in row order.

Every process opens the file by itself, so only facts and problems travel. One that dies is replaced
and its shard tried once more; a shard that dies twice ends the survey with the last lines of the
process, so that no row is passed over in silence.
"""

from __future__ import annotations

import os
import queue
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from core.environment import worker_environment
from core.errors import AfinaError
from core.pipe import PipeWorker

_ASKED = 2  # shards that a process has at a time: the next one waits for it
_AHEAD = 6  # shards for each process that may be done before the one that is merged next
_LISTEN_S = 0.1  # between two looks at whether it is cancelled
_TRIES = 2
S = TypeVar("S")  # a struct: what comes back for some rows


class Task(msgspec.Struct):
    """A shard to be worked on."""

    place: int  # in the order of the rows
    fields: dict[str, Any]  # of the request; `start` and `stop` are its rows
    tries: int = 0


class Pool(Generic[S]):
    """The processes for one file; `begin` is the request that opens it in each of them."""

    def __init__(self, size: int, begin: dict[str, Any], request: str, shard: type[S]) -> None:
        self._begin, self._request, self._shard = begin, request, shard
        self._answers: queue.SimpleQueue[tuple[int, Task, dict[str, Any]]] = queue.SimpleQueue()
        self._workers = [self._start() for _ in range(size)]

    def close(self) -> None:
        for worker in self._workers:
            worker.close(grace_s=0.2)

    @property
    def processes(self) -> list[int]:
        """Their ids."""
        return [worker.process.pid for worker in self._workers]

    def shards(self, tasks: Iterator[dict[str, Any]], cancelled: Callable[[], bool]) -> Iterator[S]:
        """The shards in the order of their tasks; ends early once it is cancelled.

        Raises AfinaError where a process refuses a shard, or dies over it twice.
        """
        waiting = (Task(place, fields) for place, fields in enumerate(tasks))
        again: deque[Task] = deque()
        open_tasks = [0] * len(self._workers)
        ready: dict[int, S] = {}
        given = merged = 0
        while not cancelled():
            for number in range(len(self._workers)):
                while open_tasks[number] < _ASKED and given < merged + _AHEAD * len(self._workers):
                    task = again.popleft() if again else next(waiting, None)
                    if task is None:
                        break
                    given += task.tries == 0
                    open_tasks[number] += 1
                    self._ask(number, task)
            if not any(open_tasks) and not ready:
                return
            try:
                number, task, answer = self._answers.get(timeout=_LISTEN_S)
            except queue.Empty:
                continue
            open_tasks[number] -= 1
            if answer["kind"] == "died":
                self._bury(number, task, answer)
                again.append(task)
                continue
            if answer["kind"] != "done":
                raise AfinaError(answer.get("message", "The survey ended."), answer.get("hint", ""))
            ready[task.place] = msgspec.convert(answer["shard"], self._shard, str_keys=True)
            while merged in ready:
                yield ready.pop(merged)
                merged += 1

    def _ask(self, number: int, task: Task) -> None:
        def take(answer: dict[str, Any]) -> None:
            if answer.get("end"):
                self._answers.put((number, task, answer))

        self._workers[number].request(self._request, on_message=take, **task.fields)

    def _start(self) -> PipeWorker:
        environment = worker_environment()
        environment |= {"TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
        worker = PipeWorker("survey", env=environment)
        worker.request("begin", **self._begin)
        return worker

    def _bury(self, number: int, task: Task, answer: dict[str, Any]) -> None:
        """Puts a new process in the place of one that died, unless a shard is what kills it."""
        task.tries += 1
        if task.tries >= _TRIES:
            first, last = task.fields["start"] + 1, task.fields["stop"]
            raise AfinaError(
                f"Work on the rows {first:,} to {last:,} failed twice. {answer['message']}",
                answer.get("hint", ""),
            )
        if not self._workers[number].alive:
            self._workers[number].close()
            self._workers[number] = self._start()


def cores() -> int:
    """Processors that this process may keep busy: physical ones, within affinity and quota."""
    import psutil

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    counts = [psutil.cpu_count(logical=False) or allowed or 1, allowed or 1, _quota()]
    return max(1, min(counts))


def _quota() -> int:
    """Processors that a container is given (cgroup v2); many without a limit."""
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, int(limit) // int(period))
    except (OSError, ValueError):
        return 1 << 16
