"""Cancelling an export: requests are read several times a second, model processes killed."""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from core.chat.client import ModelClient
from core.errors import AfinaError
from core.events import Event
from core.jobs import JobWorker

POLL_S = 0.2
ACTIONS = ("cancel", "stop")


class Cancelled(Exception):
    """A person asked the job to stop."""


class Requests:
    """The job's requests, seen at once by a thread of their own and answered by the main one."""

    def __init__(self, worker: JobWorker) -> None:
        self._worker = worker
        self._seen: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._asked = threading.Event()
        self._over = threading.Event()
        self._clients: list[ModelClient] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        self._asked.set()

    def check(self) -> None:
        """Answers what was asked since the last call; raises Cancelled once it was asked for."""
        while not self._seen.empty():
            request = self._seen.get()
            known = request["kind"] in ACTIONS
            self._worker.answer(request, "cancelling" if known else "an export can't do that")
        if self._asked.is_set():
            raise Cancelled

    @contextmanager
    def model(self, client: ModelClient) -> Iterator[ModelClient]:
        """A model that a cancel kills, whatever it is doing; closed at the end."""
        self._clients.append(client)
        try:
            self.check()
            with client:
                yield client
        except AfinaError:
            self.check()  # it died by our hand
            raise
        finally:
            self._clients.remove(client)

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _listen(self) -> None:
        while not self._over.wait(POLL_S):
            for request in self._worker.requests():
                self._seen.put(request)
                if request["kind"] in ACTIONS:
                    self._asked.set()
            if self._asked.is_set():
                self._kill()

    def _kill(self) -> None:
        for client in list(self._clients):
            if client.alive and client.pid is not None:
                with suppress(ProcessLookupError):
                    os.killpg(client.pid, signal.SIGKILL)  # a worker leads its own group
