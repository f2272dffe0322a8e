"""A thread that looks at files again and again while a pane is seen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress


class Feed:
    """The thread. `work` is called there: one look, which returns the seconds until the next."""

    def __init__(self, name: str, work: Callable[[], float]) -> None:
        self._work = work
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
            with suppress(OSError):  # what is deleted while it is read: the next look knows
                wait_s = self._work()
            self._look_now.wait(wait_s)
