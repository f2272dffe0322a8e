"""The facts of every row, in columns: compact arrays that filters, sorting and statistics read.

Columns are as long as the file from the start; `formed` and `encoded` say how many rows, from the
first on, are known to each pass.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec

from core.data.problems import ERROR, NOTE, WARNING, RowProblem
from core.data.sample import Label

if TYPE_CHECKING:
    import numpy as np

SEVERITIES = ("", NOTE, WARNING, ERROR)  # by rank: a row has the worst of its problems
FORM = {  # numpy types of what the form pass finds
    "bytes": "u4",
    "line": "u4",
    "turns": "u2",
    "readable": "u1",  # 1: the row became a sample
    "found": "u2",  # problems of form
    "key": "u8",  # equal for rows that say the same
    "label": "u4",  # place in Facts.labels; 0 is none
    "script": "u1",  # place in core.data.analysis.language.SCRIPTS
}
TOKENS = {
    "tokens": "u4",  # before the cut at max_length; of a pair's longer side
    "kept": "u4",  # that go through the model: cut at max_length, both sides of a pair
    "supervised": "u4",
    "truncated": "u4",  # tokens beyond max_length
    "language": "u1",  # place in Facts.languages; 0 is unknown
}
_MOST_CHECKS = 64  # bits in the column `checks`


class Shard(msgspec.Struct):
    """What one pass found in some rows that follow each other; travels between processes."""

    start: int
    rows: int
    columns: dict[str, bytes]  # name -> numbers in the column's type
    problems: list[RowProblem]
    labels: list[Label] = []  # codes in the column `label` count from 1 into it
    languages: list[str] = []  # the same for `language`
    roles: dict[str, int] = {}  # role -> messages


class Names:
    """Words and their codes, in the order in which they were first seen; code 0 is ""."""

    def __init__(self, words: list[Any] | None = None) -> None:
        self.words: list[Any] = [""]
        self._codes: dict[tuple[type, Any], int] = {(str, ""): 0}
        for word in words or ():
            self.code(word)

    def __len__(self) -> int:
        return len(self.words)

    def code(self, word: Any) -> int:
        code = self._codes.setdefault((type(word), word), len(self.words))
        if code == len(self.words):
            self.words.append(word)
        return code

    def find(self, word: Any) -> int | None:
        return self._codes.get((type(word), word))


class Facts:
    """The columns of one file under one recipe, filled shard by shard in the order of the rows."""

    def __init__(self, rows: int) -> None:
        import numpy as np

        self.rows = rows
        self.formed = self.encoded = 0
        self.columns: dict[str, np.ndarray] = {
            name: np.zeros(rows, kind) for name, kind in {**FORM, **TOKENS}.items()
        }
        self.columns["checks"] = np.zeros(rows, "u8")  # a bit for each of `checks`
        self.columns["severity"] = np.zeros(rows, "u1")  # place in SEVERITIES
        self.columns["duplicate"] = np.zeros(rows, "u1")
        self.checks: list[str] = []
        self.labels, self.languages = Names(), Names()
        self.roles: dict[str, int] = {}
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def add_form(self, shard: Shard) -> None:
        """Takes what the form pass found in the rows after the last ones."""
        assert shard.start == self.formed, (shard.start, self.formed)
        self._take(shard, FORM)
        for role, count in shard.roles.items():
            self.roles[role] = self.roles.get(role, 0) + count
        self._translate(shard, "label", shard.labels, self.labels)
        self.formed += shard.rows

    def add_tokens(self, shard: Shard) -> None:
        """Takes what the token pass found in the rows after the last ones."""
        assert shard.start == self.encoded, (shard.start, self.encoded)
        self._take(shard, TOKENS)
        self._translate(shard, "language", shard.languages, self.languages)
        self.encoded += shard.rows

    def mark(self, problems: list[RowProblem]) -> None:
        """Notes the problems of rows in the columns `checks`, `severity` and `duplicate`."""
        checks, severity = self.columns["checks"], self.columns["severity"]
        duplicate = self.columns["duplicate"]
        for item in problems:
            bit = self.check_bit(item.check)
            if not item.row:
                continue
            index = item.row - 1
            checks[index] |= 1 << bit
            severity[index] = max(int(severity[index]), SEVERITIES.index(item.severity))
            if item.check in ("exact_duplicate", "near_duplicate"):
                duplicate[index] = 1

    def check_bit(self, name: str) -> int:
        """The bit of a check, which is the place of its name in `checks`."""
        with self._lock:
            if name not in self.checks:
                assert len(self.checks) < _MOST_CHECKS, "more checks than bits"
                self.checks.append(name)
            return self.checks.index(name)

    def checks_of(self, row: int) -> list[str]:
        """The names of the checks that a row fails."""
        bits = int(self.columns["checks"][row])
        return [name for bit, name in enumerate(self.checks) if bits >> bit & 1]

    def _take(self, shard: Shard, kinds: dict[str, str]) -> None:
        import numpy as np

        rows = slice(shard.start, shard.start + shard.rows)
        for name, data in shard.columns.items():
            self.columns[name][rows] = np.frombuffer(data, kinds[name])

    def _translate(self, shard: Shard, column: str, words: list[Any], names: Names) -> None:
        """A shard counts its words from 1; here they get the codes of the whole file."""
        import numpy as np

        if words:
            rows = slice(shard.start, shard.start + shard.rows)
            codes = np.array([0, *map(names.code, words)], dtype=self.columns[column].dtype)
            self.columns[column][rows] = codes[self.columns[column][rows]]
