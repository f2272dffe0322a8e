"""The data file behind the Data pane: our own index for the rows, the data worker for the facts.

Nothing here draws. Threads and the worker post DataNews; requests come from the event loop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from core.data.files.source import begin_source
from core.data.recipe import Recipe
from core.errors import AfinaError
from core.jobs import worker_environment
from core.pipe import PipeWorker
from tui.messages import DataNews

NEWS_EVERY_S = 0.1  # while a file is indexed


class Dataset:
    """One open file at a time. Every answer carries the generation of the open it belongs to."""

    def __init__(self, post: Callable[[DataNews], object]) -> None:
        self._post = post
        self.generation = 0
        self._worker: PipeWorker | None = None
        self._starting = threading.Lock()
        self._requests: list[int] = []  # to be cancelled by the next open
        self._shown: int | None = None

    def open(self, path: Path, recipe: Recipe) -> None:
        """Indexes a file and has the worker open it; the rows come first."""
        self._begin()
        thread = threading.Thread(
            target=self._index, args=(path, self.generation, recipe), daemon=True, name="index"
        )
        thread.start()

    def encode(self, path: Path, recipe: Recipe) -> None:
        """The same file with other settings: the index stays, the facts come anew."""
        self._begin()
        generation = self.generation
        threading.Thread(
            target=self._ask_open, args=(path, generation, recipe), daemon=True
        ).start()

    def want(self, rows: Sequence[int]) -> None:
        """Asks for the facts of some rows."""
        self._ask("encode", self.generation, {"done": "facts"}, rows=list(rows))

    def show(self, row: int) -> None:
        """Asks for one row as the model sees it; an older wish is dropped."""
        if self._worker is not None and self._shown is not None:
            self._worker.cancel(self._shown)
        self._shown = self._ask("show", self.generation, {"done": "shown"}, row=row)

    def close(self) -> None:
        """Ends the worker; returns at once."""
        worker, self._worker = self._worker, None
        self.generation += 1
        if worker is not None:
            threading.Thread(target=worker.close, name="close-data-worker", daemon=True).start()

    def _begin(self) -> None:
        self.generation += 1
        worker = self._worker
        if worker is not None:
            for request in self._requests:
                worker.cancel(request)
        self._requests.clear()
        self._shown = None

    def _index(self, path: Path, generation: int, recipe: Recipe) -> None:
        try:
            source = begin_source(path)
            self._news(generation, "indexed", source=source, whole=False)
            told = time.monotonic()

            def tell(done: int, total: int) -> None:
                nonlocal told
                if time.monotonic() - told >= NEWS_EVERY_S:
                    told = time.monotonic()
                    self._news(generation, "indexed", source=source, whole=False)

            source.index(tell, lambda: generation != self.generation)
        except AfinaError as error:
            self._news(generation, "refused", message=error.message, hint=error.hint)
            return
        except OSError as error:
            message = f'Can\'t read "{path}": {error.strerror}.'
            self._news(generation, "refused", message=message, hint="Check the file.")
            return
        if not source.indexed:
            source.close()
            return
        self._news(generation, "indexed", source=source, whole=True)
        self._ask_open(path, generation, recipe)

    def _ask_open(self, path: Path, generation: int, recipe: Recipe) -> None:
        if generation != self.generation:
            return
        with self._starting:
            if self._worker is None or not self._worker.alive:
                self._worker = PipeWorker("data", env=worker_environment())
        self._ask(
            "open",
            generation,
            {"opened": "opened"},
            path=str(path),
            recipe=msgspec.to_builtins(recipe),
        )

    def _ask(self, op: str, generation: int, topics: dict[str, str], **fields: Any) -> int | None:
        """Sends a request whose answers become news; topics: kind of an answer -> topic."""
        worker = self._worker
        if worker is None:
            return None

        def take(answer: dict[str, Any]) -> None:
            kind = answer["kind"]
            if kind in ("error", "died"):
                self._news(generation, "trouble", **answer)
            elif kind in topics:
                self._news(generation, topics[kind], **answer)
                if topics[kind] == "opened" and not answer["refusal"]:
                    self._ask_all(generation)

        request = worker.request(op, on_message=take, **fields)
        self._requests.append(request)
        return request

    def _ask_all(self, generation: int) -> None:
        """What is asked of every row, behind what the person looks at."""
        if generation == self.generation:
            self._ask("stats", generation, {"stats": "stats", "done": "stats"})
            self._ask("check", generation, {"problems": "problems", "done": "checked"})

    def _news(self, generation: int, topic: str, **fields: Any) -> None:
        if generation == self.generation:
            self._post(DataNews(generation, topic, fields))
