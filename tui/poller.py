"""The one way in which the app waits: a thread that looks again and again and never ends unsaid."""

from __future__ import annotations

import threading
from collections.abc import Callable

from textual.message import Message

AFTER_FAULT_S = 5.0  # until it is tried again


class PollerFailed(Message):
    """A thread met a fault of ours. It goes on; the app says so and keeps the traceback."""

    def __init__(self, name: str, error: Exception) -> None:
        super().__init__()
        self.name = name
        self.error = error


class Poller:
    """The thread. `work` is called there: one look, which returns the seconds until the next.

    What a file system answers while files come and go (OSError) waits for the next look. Any other
    exception is handed to `post` as PollerFailed, once for each that is new.
    """

    def __init__(
        self, name: str, work: Callable[[], float], post: Callable[[Message], object]
    ) -> None:
        self._name = name
        self._work = work
        self._post = post
        self._told = ""
        self._awake = threading.Event()
        self._look_now = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._follow, name=name, daemon=True)

    def start(self) -> None:
        self._awake.set()
        if not self._thread.is_alive():
            self._thread.start()
        self.look_now()

    def pause(self) -> None:
        """Reads nothing until the next start."""
        self._awake.clear()

    def close(self) -> None:
        self._closed = True
        self._awake.set()
        self.look_now()

    def look_now(self) -> None:
        self._look_now.set()

    def _follow(self) -> None:
        wait_s = 1.0
        while True:
            self._awake.wait()
            if self._closed:
                return
            self._look_now.clear()
            try:
                wait_s = self._work()
            except OSError:  # what is deleted while it is read: the next look knows
                pass
            except Exception as error:  # the outermost frame of this thread
                wait_s = AFTER_FAULT_S
                self._tell(error)
            self._look_now.wait(wait_s)

    def _tell(self, error: Exception) -> None:
        if (said := repr(error)) != self._told:
            self._told = said
            self._post(PollerFailed(self._name, error))
