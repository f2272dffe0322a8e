"""What a filter is asked of: the columns of a survey, and the content of rows as it is needed."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from core.data.analysis.job import Subject
from core.data.analysis.language import SCRIPTS
from core.data.analysis.query.grammar import FLAGS, NAMES
from core.data.analysis.row_facts import SEVERITIES, Facts
from core.data.analysis.stats import spell
from core.data.files.source import Source
from core.data.shapes.sample_text import texts_of

if TYPE_CHECKING:
    import numpy as np

TOKEN_FACTS = ("tokens", "supervised", "truncated", "language")


class QueryContext:
    """The rows of one file, for `evaluate`."""

    def __init__(
        self,
        subject: Subject,
        facts: Facts,
        marked: Collection[int] = (),
        edited: Collection[int] = (),
        dropped: Collection[int] = (),
    ) -> None:
        self.subject, self.facts = subject, facts
        self._sets = {"marked": marked, "edited": edited, "dropped": dropped}
        self._files: tuple[np.ndarray, list[str]] | None = None

    def numbers(self, name: str, rows: np.ndarray) -> np.ndarray:
        """A fact that is a number, of some rows."""
        if name == "row":
            return rows.astype("i8") + 1
        return self.facts[name][rows].astype("i8")

    def flags(self, name: str, rows: np.ndarray) -> np.ndarray:
        """A fact that is true or false."""
        import numpy as np

        if name == "duplicate":
            return self.facts["duplicate"][rows] > 0
        wanted = self._sets[name]
        return np.isin(rows, np.fromiter(wanted, "i8", len(wanted)))

    def words(self, name: str) -> list[str]:
        """The words that a fact has in this file; its codes are places in them."""
        if name == "severity":
            return list(SEVERITIES)
        if name == "script":
            return list(SCRIPTS)
        if name == "file":
            return self._places()[1]
        names = self.facts.labels if name == "label" else self.facts.languages
        return [spell(word) for word in names.words]

    def codes(self, name: str, rows: np.ndarray) -> np.ndarray:
        """For each row the place of its word in `words`."""
        import numpy as np

        if name == "file":
            return np.searchsorted(self._places()[0], rows, "right") - 1
        return self.facts[name][rows]

    def bits(self, rows: np.ndarray) -> np.ndarray:
        return self.facts["checks"][rows]

    def text(self, row: int) -> str:
        """All that a row says; of one that can't be read, its bytes."""
        said = self._said(row)
        return "\n".join(text for _, text in said) if said else self.raw(row)

    def role(self, row: int, role: str) -> list[str]:
        """What a role says in a row, turn by turn."""
        return [text for who, text in self._said(row) if who == role]

    def raw(self, row: int) -> str:
        return self.subject.source.raw(row).decode("utf-8", "replace")

    def _said(self, row: int) -> list[tuple[str, str]]:
        subject = self.subject
        return texts_of(subject.reader.read(subject.source.row(row)).sample)

    def _places(self) -> tuple[np.ndarray, list[str]]:
        """The first row of each file that has rows, and the file's path."""
        import numpy as np

        if self._files is None:
            firsts = _first_rows(self.subject.source)
            paths = [str(self.subject.source.place(row)[0]) for row in firsts]
            self._files = np.array(firsts, "i8"), paths
        return self._files


def _first_rows(source: Source) -> list[int]:
    """The rows at which a new file begins; files follow each other, so that halving finds them."""
    total = len(source)
    if not total or len(source.files) == 1:
        return [0]
    firsts: list[int] = []
    row = 0
    while row < total:
        firsts.append(row)
        here = source.place(row)[0]
        low, high, step = row, total, 1
        while low + step < total and source.place(low + step)[0] == here:
            low, step = low + step, step * 2
        high = min(total, low + step)
        while high - low > 1:
            middle = (low + high) // 2
            if source.place(middle)[0] == here:
                low = middle
            else:
                high = middle
        row = high
    return firsts


def column_of(ground: QueryContext, name: str, rows: np.ndarray) -> np.ndarray:
    """The values of a fact to sort by, as numbers; words are in the order of the alphabet."""
    import numpy as np

    if name == "problems":
        return np.bitwise_count(ground.bits(rows))
    if name in FLAGS:
        return ground.flags(name, rows)
    if name in NAMES and name != "severity":
        words = ground.words(name)
        ranks = np.empty(len(words), "i8")
        ranks[sorted(range(len(words)), key=words.__getitem__)] = np.arange(len(words))
        return ranks[ground.codes(name, rows)]
    return ground.numbers(name, rows)
