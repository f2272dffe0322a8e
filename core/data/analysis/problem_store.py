"""Every problem that a survey found, on disk, with an index small enough for a million of them."""

from __future__ import annotations

import tempfile
import threading
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from core.data.problems import ERROR, NOTE, WARNING, RowProblem

if TYPE_CHECKING:
    import numpy as np

_IN_MEMORY_BYTES = 4 << 20  # more than this goes to disk
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(RowProblem).decode


class ProblemStore:
    """Problems in the order they are found; read in the order of the rows, the file's own last.

    Problems of one row keep the order they came in. May be read from other threads while it grows.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115
        self._starts, self._rows, self._checks = array("Q", [0]), array("Q"), array("H")
        self._names: list[str] = []
        self._codes: dict[str, int] = {}
        self.counts: Counter[str] = Counter()  # check -> rows (or the file, once)
        self.severities: Counter[str] = Counter()
        self._counted: dict[int, int] = {}  # check -> the row that counted last
        self._order: np.ndarray | None = None
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._checks)

    def close(self) -> None:
        self._file.close()

    @property
    def errors(self) -> int:
        return self.severities[ERROR]

    @property
    def warnings(self) -> int:
        return self.severities[WARNING]

    @property
    def notes(self) -> int:
        return self.severities[NOTE]

    def add(self, problems: Sequence[RowProblem]) -> None:
        """Appends problems; those of one check come in the order of their rows."""
        with self._lock:
            self._add(problems)

    def _add(self, problems: Sequence[RowProblem]) -> None:
        end = self._starts[-1]
        parts = []
        for item in problems:
            line = _encode(item)
            parts.append(line)
            end += len(line)
            self._starts.append(end)
            self._rows.append(item.row)
            self.severities[item.severity] += 1
            code = self._codes.setdefault(item.check, len(self._names))
            if code == len(self._names):
                self._names.append(item.check)
            if self._counted.get(code) != item.row:
                self._counted[code] = item.row
                self.counts[item.check] += 1
        self._file.seek(0, 2)
        self._file.write(b"".join(parts))
        self._checks.extend(self._codes[item.check] for item in problems)

    def raw(self, start: int) -> tuple[bytes, bytes]:
        """The problems that came as number `start` or later: their sizes (u4) and their JSON."""
        with self._lock:
            ends = self._starts[start:]
            sizes = array("I", (b - a for a, b in zip(ends, ends[1:], strict=False)))
            self._file.seek(ends[0])
            return sizes.tobytes(), self._file.read(ends[-1] - ends[0])

    def page(
        self, check: str | None = None, start: int = 0, limit: int | None = None
    ) -> tuple[list[RowProblem], int]:
        """Some of the problems, of one check or of all, and how many there are."""
        with self._lock:
            places = self._places(check)
            chosen = places[start : None if limit is None else start + limit]
            return [self._at(int(place)) for place in chosen], len(places)

    def of_row(self, row: int) -> list[RowProblem]:
        """The problems of a row, counted from 1."""
        import numpy as np

        with self._lock:
            rows = np.frombuffer(self._rows.tobytes(), "u8")  # a copy: the array goes on growing
            return [self._at(int(place)) for place in np.flatnonzero(rows == row)]

    def __iter__(self) -> Iterator[RowProblem]:
        for place in self._places(None):
            with self._lock:
                yield self._at(int(place))

    def _at(self, place: int) -> RowProblem:
        start, end = self._starts[place], self._starts[place + 1]
        self._file.seek(start)
        return _decode(self._file.read(end - start))

    def _places(self, check: str | None) -> np.ndarray:
        """Places of problems in the order of their rows."""
        import numpy as np

        with self._lock:
            order = self._sorted()
            if check is None:
                return order
            codes = np.frombuffer(self._checks.tobytes(), "u2")
            return order[codes[order] == self._codes.get(check, -1)]

    def _sorted(self) -> np.ndarray:
        """Places in the order of their rows; those of the file itself come last."""
        import numpy as np

        if self._order is None or len(self._order) != len(self):
            rows = np.frombuffer(self._rows.tobytes(), "u8") - np.uint64(1)  # 0 becomes the largest
            self._order = np.argsort(rows, kind="stable")
        return self._order
