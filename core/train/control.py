"""What people ask of a run that is at work: stop, pause, checkpoint, evaluate, sample; the answers.

They come as lines of control.jsonl and as signals. The trainer looks between steps and while it
evaluates; core/train/signals.py looks all the time, for what can't wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal

from core.events import Event
from core.jobs import JobWorker

ACTIONS = ("stop", "pause", "checkpoint", "evaluate", "sample")


class Requests:
    """Open requests by action. A stop can also come as a signal, which has no answer.

    The first stop is obeyed at the end of the step; another one, or one that says `now`, calls
    `end_now`, in whichever thread heard it.
    """

    def __init__(
        self, worker: JobWorker, end_now: Callable[[Requests], None] | None = None
    ) -> None:
        self._worker = worker
        self._end_now = end_now
        self._open: dict[str, list[Event]] = {}
        self._lock = threading.RLock()
        self._stops = 0  # requests and signals; from the second on it is now
        self._pauses = False

    def poll(self) -> None:
        """Takes what was asked since the last call; what a run doesn't know is answered at once."""
        with self._lock:
            for request in self._worker.requests():
                self._take(request)
            if self._stops > 1 and self._end_now:
                self._end_now(self)

    def _take(self, request: Event) -> None:
        action = str(request["kind"])
        if action not in ACTIONS:
            self._worker.answer(request, f'a training run knows no "{action}"')
            return
        self._open.setdefault(action, []).append(request)
        if action == "stop":
            self._stops += 2 if request.get("now") is True else 1
        elif action == "pause":
            self._pauses = True

    def signal(self) -> None:
        """A signal came: a stop that nobody waits for an answer to."""
        with self._lock:
            self._stops += 1
        self.poll()

    def wants(self, action: str) -> bool:
        return action in self._open

    @property
    def ending(self) -> Literal["", "stopped", "paused"]:
        """How the run is to end at the next good moment; a stop counts more than a pause."""
        if self._stops:
            return "stopped"
        return "paused" if self._pauses else ""

    def stop_asked(self) -> bool:
        """Whether to stop or pause, asked anew: evaluations and samples look while they work."""
        self.poll()
        return self.ending != ""

    def answer(self, action: str, result: str) -> None:
        with self._lock:
            for request in self._open.pop(action, []):
                self._worker.answer(request, result)

    def answer_all(self, result: str) -> None:
        with self._lock:
            for action in list(self._open):
                self.answer(action, result)

    def close(self, result: str) -> None:
        """Answers whatever is still open: the run is over."""
        with self._lock:
            self._end_now = None
            self.poll()
            self.answer_all(result)
