"""What people ask of a run that is at work: stop, checkpoint, evaluate, sample; and the answers."""

from __future__ import annotations

from core.events import Event
from core.jobs import JobWorker

ACTIONS = ("stop", "checkpoint", "evaluate", "sample")


class Requests:
    """Open requests by action. A stop can also come as a signal, which has no answer."""

    def __init__(self, worker: JobWorker) -> None:
        self._worker = worker
        self._open: dict[str, list[Event]] = {}
        self.signalled = False  # set by the signal handler

    def poll(self) -> None:
        """Takes what was asked since the last call; what a run doesn't know is answered at once."""
        for request in self._worker.requests():
            action = str(request.get("kind"))
            if action in ACTIONS:
                self._open.setdefault(action, []).append(request)
            else:
                self._worker.answer(request, f'a training run knows no "{action}"')

    def wants(self, action: str) -> bool:
        return action in self._open

    def stop_asked(self) -> bool:
        """Whether to stop, asked anew: evaluations and samples look here while they work."""
        self.poll()
        return self.signalled or self.wants("stop")

    def answer(self, action: str, result: str) -> None:
        for request in self._open.pop(action, []):
            self._worker.answer(request, result)

    def close(self, result: str) -> None:
        """Answers whatever is still open: the run is over."""
        self.poll()
        for action in list(self._open):
            self.answer(action, result)
