"""The data file behind the Data pane: our own index for the rows, the data worker for the rest.

Nothing here draws. Threads and the worker post DataNews, which the pane hands to its own methods in
the event loop; requests come from there. What can be asked: core/data/worker/worker.py.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from core.data.files.source import Source, begin_source
from core.data.recipe import Recipe
from core.environment import worker_environment
from core.errors import AfinaError
from core.pipe import PipeWorker
from tui.data.messages import DataNews

NEWS_EVERY_S = 0.1  # while a file is indexed
Answer = dict[str, Any]
Take = Callable[[Answer], object]


class Subject(NamedTuple):
    """What is open: a path as `begin_source` takes it, further files with weights, the recipe."""

    path: str
    mix: Mapping[str, float]
    recipe: Recipe
    eval_path: str | None = None  # rows that stand there too are named


class Dataset:
    """One open file at a time. Every answer carries the generation of the open it belongs to."""

    def __init__(self, post: Callable[[DataNews], object]) -> None:
        self._post = post
        self.generation = 0
        self._worker: PipeWorker | None = None
        self._starting = threading.Lock()
        self._asked: set[int] = set()  # to be cancelled by the next open
        self._asking = threading.RLock()  # a dead worker answers in the thread that asks

    def open(self, subject: Subject, indexed: Take, refused: Take, opened: Take) -> None:
        """Indexes a file, then has the worker open it.

        indexed: {source, whole, done, total} while rows are found, done and total in bytes;
        refused: {message, hint}, the file can't be read; opened: the worker's answer to `open`.
        """
        generation = self._begin()
        work = _Indexing(subject, indexed, refused, opened)
        threading.Thread(
            target=self._index, args=(work, generation), daemon=True, name="index"
        ).start()

    def encode(self, subject: Subject, opened: Take) -> None:
        """The same file with other settings: the index stays, everything else comes anew."""
        generation = self._begin()
        threading.Thread(
            target=self._ask_open, args=(subject, opened, generation), daemon=True
        ).start()

    def stop(self) -> None:
        """Ends what is going on, the indexing too; what was found so far stays readable."""
        self._begin()

    def ask(self, op: str, take: Take, **fields: Any) -> int | None:
        """Sends a request; every answer to it reaches `take` in the event loop, an error too.

        Returns the request's number for `cancel`, None without a worker.
        """
        return self._ask(op, take, self.generation, fields)

    def cancel(self, number: int | None) -> None:
        """Ends a request; its last answer may still come."""
        if self._worker is not None and number is not None:
            self._worker.cancel(number)

    def look(self, source: Source, take: Take) -> None:
        """Looks from a thread whether the file has changed or is gone: {changed, there}."""
        generation = self.generation

        def look() -> None:
            there = all(path.exists() for path in source.files)
            self._news(generation, take, {"changed": source.changed(), "there": there})

        threading.Thread(target=look, daemon=True, name="look-at-data").start()

    def close(self) -> None:
        """Ends the worker; returns at once."""
        worker, self._worker = self._worker, None
        self.generation += 1
        if worker is not None:
            threading.Thread(target=worker.close, name="close-data-worker", daemon=True).start()

    def _begin(self) -> int:
        self.generation += 1
        with self._asking:
            asked, self._asked = self._asked, set()
        for number in asked:
            self.cancel(number)
        return self.generation

    def _index(self, work: _Indexing, generation: int) -> None:
        path = work.subject.path
        try:
            source = begin_source(path, work.subject.mix)
            told = 0.0

            def tell(done: int, total: int) -> None:
                nonlocal told
                if time.monotonic() - told >= NEWS_EVERY_S:
                    told = time.monotonic()
                    news = {"source": source, "whole": False, "done": done, "total": total}
                    self._news(generation, work.indexed, news)

            source.index(tell, lambda: generation != self.generation)
        except AfinaError as error:
            refusal = {"message": error.message, "hint": error.hint}
            self._news(generation, work.refused, refusal)
            return
        except OSError as error:
            message = f'Can\'t read "{path}": {error.strerror}.'
            self._news(generation, work.refused, {"message": message, "hint": "Check the file."})
            return
        if source.indexed:
            news = {"source": source, "whole": True, "done": 1, "total": 1}
            self._news(generation, work.indexed, news)
            self._ask_open(work.subject, work.opened, generation)

    def _ask_open(self, subject: Subject, opened: Take, generation: int) -> None:
        if generation != self.generation:
            return
        with self._starting:
            if self._worker is None or not self._worker.alive:
                self._worker = PipeWorker("data", env=worker_environment())
        fields: Answer = {"path": subject.path, "recipe": msgspec.to_builtins(subject.recipe)}
        if subject.mix:
            fields["mix"] = dict(subject.mix)
        self._ask("open", opened, generation, fields)

    def _ask(self, op: str, take: Take, generation: int, fields: Answer) -> int | None:
        worker = self._worker
        if worker is None:
            return None

        def answered(answer: Answer) -> None:
            if answer.get("end"):
                with self._asking:
                    self._asked.discard(answer["id"])
            if answer["kind"] != "cancelled":
                self._news(generation, take, answer)

        with self._asking:
            number = worker.request(op, on_message=answered, **fields)
            if worker.alive:
                self._asked.add(number)
        return number

    def _news(self, generation: int, take: Take, answer: Answer) -> None:
        if generation == self.generation:
            self._post(DataNews(generation, take, answer))


class _Indexing(NamedTuple):
    """A file to be indexed and who takes what comes of it."""

    subject: Subject
    indexed: Take
    refused: Take
    opened: Take


class Newest:
    """Asks one thing at a time; of what is wanted meanwhile, only the newest is asked after it.

    So a key that is held down leaves no queue of requests behind.
    """

    def __init__(self, send: Callable[[Any], object]) -> None:
        self._send = send
        self._busy = False
        self._next: Any = None

    def want(self, what: Any) -> None:
        """Asks now, or once the answer to the last one has come."""
        if self._busy:
            self._next = what
        else:
            self._busy = True
            self._send(what)

    def done(self) -> None:
        """The answer has come."""
        self._busy, what, self._next = False, self._next, None
        if what is not None:
            self.want(what)

    def reset(self) -> None:
        """No answer is waited for any more."""
        self._busy, self._next = False, None
