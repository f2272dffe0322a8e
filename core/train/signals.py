"""Hears what can't wait while the main thread is deep in a step: a second stop, a second signal.

Python runs a signal's handler in the main thread, between two of its own instructions: in a long
product that is too late. The system's handler writes the signal's number into a pipe, and a thread
reads it there.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from contextlib import suppress

from core.train.control import Requests

HEARD = (signal.SIGTERM, signal.SIGINT)
LOOK_S = 0.2  # between two looks at control.jsonl
_listening = False  # in this process


class SignalThread:
    """A thread that listens until it is closed. Made and closed in the main thread."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._over = threading.Event()
        self._out, self._in = os.pipe()
        os.set_blocking(self._in, False)
        for number in HEARD:
            signal.signal(number, lambda number, frame: None)
        self._wakeup_before = signal.set_wakeup_fd(self._in, warn_on_full_buffer=False)
        _note(True)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)  # `hold` is over
        self._thread = threading.Thread(target=self._listen, name="listener", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._over.is_set():
            ready, _, _ = select.select([self._out], [], [], LOOK_S)
            for number in os.read(self._out, 64) if ready else b"":
                if number in HEARD:
                    self._requests.signal()
            if not self._over.is_set():
                self._requests.poll()

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        signal.set_wakeup_fd(self._wakeup_before)
        _note(False)
        for end in (self._in, self._out):
            os.close(end)


def hold() -> None:
    """Lets signals wait for the next Listener, also across an exec."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)


def _note(listening: bool) -> None:
    global _listening
    _listening = listening


def _deaf() -> None:
    """A child that is told to end must neither live on nor end the run: it has our pipe."""
    if not _listening:
        return
    with suppress(ValueError):  # forked by another thread than the main one
        signal.set_wakeup_fd(-1)
        for number in HEARD:
            signal.signal(number, signal.SIG_DFL)


os.register_at_fork(after_in_child=_deaf)
