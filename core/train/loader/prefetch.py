"""Things that are made ahead of their use, in a thread: blocks of rows, and batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from threading import Condition, Thread
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetch(Iterator[T], Generic[T]):
    """The items of an iterable, `depth` of them made before they are asked for.

    Raises in `next` what the thread raised. Nothing is made before the first `next`, which waits
    for the thread: what making the first item draws from a random generator is drawn then, as
    without a thread. Close it when no further item is wanted.
    """

    def __init__(self, items: Iterable[T], depth: int) -> None:
        self._items = items
        self._depth = depth
        self._ready: deque[T] = deque()
        self._changed = Condition()
        self._closed = self._over = False
        self._error: BaseException | None = None
        self._thread: Thread | None = None

    def __next__(self) -> T:
        if self._thread is None:
            self._thread = Thread(target=self._make, daemon=True, name="afina-feed")
            self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._over)
            if not self._ready:
                if self._error is not None:
                    raise self._error
                raise StopIteration
            item = self._ready.popleft()
            self._changed.notify_all()
        return item

    def close(self) -> None:
        """Ends the thread, after the item that it is at."""
        with self._changed:
            self._closed = self._over = True
            self._ready.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _make(self) -> None:
        items: Iterator[T] | None = None
        try:
            items = iter(self._items)
            for item in items:
                with self._changed:
                    self._ready.append(item)
                    self._changed.notify_all()
                    self._changed.wait_for(self._has_room)
                    if self._closed:
                        return
                del item
        except BaseException as error:  # noqa: BLE001 - raised again where the items are taken
            self._error = error
        finally:
            if close := getattr(items, "close", None):  # a generator's, so that its own end comes
                close()
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _has_room(self) -> bool:
        return self._closed or len(self._ready) < self._depth
