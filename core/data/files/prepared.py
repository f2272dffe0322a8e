"""Sources whose rows lie in other files that have to be made or fetched first."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from core.data.files.rows import Block, Cancelled, OnProgress, Row, Source, Span
from core.data.problems import RowProblem

_SHARE = 0.75  # of the progress that preparing takes; the rest is the index


class PreparedSource(Source):
    """Has no rows until index() has prepared them; then it gives those of the inner source."""

    layout = "packed"  # until it is known how the rows lie

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inner: Source | None = None

    @abstractmethod
    def _prepare(self, on_progress: OnProgress, cancelled: Cancelled) -> Source | None:
        """The inner source, still without its index; None when it was cancelled."""

    @property
    @abstractmethod
    def _size(self) -> int:
        """What the progress counts up to, in bytes."""

    def index(
        self, on_progress: OnProgress | None = None, cancelled: Cancelled | None = None
    ) -> Self:
        """Prepares the rows and finds them; on_progress receives bytes of what was named."""

        def tell(begin: float, share: float, done: int, total: int) -> None:
            if on_progress:
                on_progress(int(self._size * (begin + share * done / max(1, total))), self._size)

        self.indexed, stopped = False, cancelled or (lambda: False)
        self.close()
        inner = self._prepare(lambda done, total: tell(0, _SHARE, done, total), stopped)
        if inner is None:
            return self
        self._inner, self.layout = inner, inner.layout
        inner.index(lambda done, total: tell(_SHARE, 1 - _SHARE, done, total), stopped)
        self.indexed = inner.indexed
        return self

    def __len__(self) -> int:
        return len(self._inner) if self._inner else 0

    def _there(self) -> Source:
        if self._inner is None:
            raise IndexError("no row is found yet")
        return self._inner

    def row(self, index: int) -> Row:
        return self._there().row(index)

    def raw(self, index: int) -> bytes:
        return self._there().raw(index)

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        return self._inner.rows(start, stop) if self._inner else iter(())

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[Block]:
        return self._inner.blocks(start, stop) if self._inner else iter(())

    def place(self, index: int) -> tuple[Path, int]:
        return self._there().place(index)

    @property
    def skipped(self) -> list[tuple[Path, str]]:
        return self._inner.skipped if self._inner else []

    def weights(self) -> list[Span]:
        return self._inner.weights() if self._inner else []

    @property
    def problems(self) -> list[RowProblem]:
        return self._inner.problems if self._inner else []

    def rest(self) -> None:
        if self._inner:
            self._inner.rest()

    def close(self) -> None:
        inner, self._inner = self._inner, None
        if inner:
            inner.close()
