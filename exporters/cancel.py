"""Cancelling an export within a second, whatever it is doing.

A thread reads the requests and kills model processes; the work itself asks `check` as often as it
can. Where it sits in a library that never asks, the thread gives the job up: it ends every child,
leaves the exports' folder in order and ends the process.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from core.chat.client import ModelClient
from core.errors import AfinaError
from core.events import Event
from core.jobs import JobWorker

POLL_S = 0.1
GRACE_S = 0.5  # for the work to hear of it and end by itself
ACTIONS = ("cancel", "stop")
CANCELLED = "Cancelled. Earlier exports are as they were."


class Cancelled(Exception):
    """A person asked the job to stop."""


class Requests:
    """The job's requests, seen at once by a thread of their own and answered by the main one."""

    def __init__(self, worker: JobWorker, clean: Callable[[], None] = lambda: None) -> None:
        """`clean` leaves the disk in order; it is called once, by whoever ends the job."""
        self._worker = worker
        self._clean = clean
        self._seen: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._asked = threading.Event()
        self._over = threading.Event()
        self._clients: list[ModelClient] = []
        self.whole = threading.Lock()  # held while something must not be left half done
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        self._asked.set()

    def check(self) -> None:
        """Answers what was asked since the last call; raises Cancelled once it was asked for."""
        self._answer()
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
        """Cleans up; from now on nothing is cancelled any more."""
        with self.whole:  # or the thread has it and ends the process
            self._over.set()
            self._clean()
        self._thread.join()

    def _answer(self) -> None:
        while not self._seen.empty():
            request = self._seen.get()
            known = request["kind"] in ACTIONS
            self._worker.answer(request, "cancelling" if known else "an export can't do that")

    def _listen(self) -> None:
        asked_at = None
        while not self._over.wait(POLL_S):
            for request in self._worker.requests():
                self._seen.put(request)
                if request["kind"] in ACTIONS:
                    self._asked.set()
            if not self._asked.is_set():
                continue
            self._kill()
            asked_at = asked_at or time.monotonic()
            if time.monotonic() - asked_at > GRACE_S:
                self._give_up()

    def _kill(self) -> None:
        for client in list(self._clients):
            if client.alive and client.pid is not None:
                with suppress(ProcessLookupError):
                    os.killpg(client.pid, signal.SIGKILL)  # a worker leads its own group

    def _give_up(self) -> None:
        """Ends a process whose main thread doesn't hear."""
        import psutil

        with self.whole:
            if self._over.is_set():
                return
            for child in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
            with suppress(OSError):  # the main thread may write there still; the next job mends it
                self._clean()
            self._answer()
            self._worker.end("stopped", CANCELLED)
            os._exit(0)
