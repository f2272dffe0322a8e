"""Finding a text in the rows of a file, in a thread: a row at a time, round the end and on."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

from textual.message import Message

from core.data.files.source import Source


class Found(Message):
    """The end of a search: the row's index, or None when no row has the words."""

    def __init__(self, words: str, index: int | None, wrapped: bool) -> None:
        super().__init__()
        self.words = words
        self.index = index
        self.wrapped = wrapped  # whether the end of the file was passed


class Search:
    """One search at a time; a newer one ends the older."""

    def __init__(self, post: Callable[[Found], object]) -> None:
        self._post = post
        self._stop = threading.Event()

    def start(self, source: Source, words: str, start: int, step: int) -> None:
        """Looks from the row after `start` (before it with step -1) all the way round."""
        self.stop()
        self._stop = stop = threading.Event()
        threading.Thread(
            target=self._look, args=(source, words, start, step, stop), daemon=True, name="search"
        ).start()

    def stop(self) -> None:
        self._stop.set()

    def _look(
        self, source: Source, words: str, start: int, step: int, stop: threading.Event
    ) -> None:
        total = len(source)
        wanted = needles(words)
        for distance in range(1, total + 1):
            if stop.is_set():
                return
            index = (start + step * distance) % total
            row = source.raw(index).decode("utf-8", "replace").casefold()
            if any(needle in row for needle in wanted):
                if not stop.is_set():
                    wrapped = (index <= start) if step > 0 else (index >= start)
                    self._post(Found(words, index, wrapped))
                return
        self._post(Found(words, None, False))


def needles(words: str) -> set[str]:
    """The words as they can stand in a JSON file: as they are, and escaped."""
    plain = words.casefold()
    escaped = (json.dumps(words, ensure_ascii=ascii)[1:-1].casefold() for ascii in (True, False))
    return {plain, *escaped}
