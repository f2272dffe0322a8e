"""The rows of a data file as the list draws them: at once, with facts as they come."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from core.data.files.source import Row, Source
from core.data.sample import Conversation, Text
from core.data.shapes.detect import SHAPES, Detection, detect, shape_of
from core.data.shapes.read import read_sample
from tui.theme import SEVERITY
from tui.widgets.row_list import Cell, Column

KEPT_FACTS = 20_000
FIRST_CHARACTERS = 400
RANK = {"error": 0, "warning": 1, "note": 2}


class Glance(NamedTuple):
    """What a row shows without a tokenizer."""

    turns: int
    first_words: str


class DataRows:
    """Rows by number. `missing` is called with the index of a drawn row that has no facts yet."""

    def __init__(self, source: Source | None, missing: Callable[[int], object]) -> None:
        self.source = source
        self._missing = missing
        self.shape = ""
        self._glances: OrderedDict[int, Glance] = OrderedDict()
        self._facts: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self._problems: dict[int, list[dict[str, Any]]] = {}
        self._ordered: list[int] = []  # indexes of the rows with errors and warnings
        self.counts: Counter[str] = Counter()  # severity -> how many
        self.encodable = False  # whether facts can be had

    def __len__(self) -> int:
        return len(self.source) if self.source is not None else 0

    def forget_facts(self) -> None:
        """Facts and problems are to come anew: something that decides them has changed."""
        self._facts.clear()
        self._problems.clear()
        self._ordered.clear()
        self.counts.clear()
        self.encodable = False

    def guess_shape(self) -> Detection | None:
        """Finds the shape by itself, so that rows read well before the worker has answered."""
        if self.source is None or not len(self.source):
            return None
        detection = detect(self.source)
        self.set_shape(detection.shape)
        return detection

    def set_shape(self, shape: str) -> None:
        if shape != self.shape:
            self.shape = shape
            self._glances.clear()

    def add_facts(self, facts: Sequence[dict[str, Any]]) -> None:
        for fact in facts:
            self._facts[fact["index"]] = fact
        while len(self._facts) > KEPT_FACTS:
            self._facts.popitem(last=False)

    def add_problems(self, problems: Sequence[dict[str, Any]]) -> None:
        """Problems in the order of their rows; those of the whole file have row 0."""
        for problem in problems:
            self.counts[problem["severity"]] += 1
            index = problem["row"] - 1
            if index < 0:
                continue
            self._problems.setdefault(index, []).append(problem)
            last = self._ordered[-1] if self._ordered else -1
            if problem["severity"] != "note" and index > last:
                self._ordered.append(index)

    def facts(self, index: int) -> dict[str, Any] | None:
        return self._facts.get(index)

    def problems(self, index: int) -> list[dict[str, Any]]:
        return self._problems.get(index, [])

    def next_problem(self, index: int) -> int | None:
        place = bisect_right(self._ordered, index)
        return self._ordered[place] if place < len(self._ordered) else None

    def previous_problem(self, index: int) -> int | None:
        place = bisect_left(self._ordered, index)
        return self._ordered[place - 1] if place else None

    def cells(self, index: int) -> Sequence[Cell]:
        fact = self._facts.get(index)
        if fact is None and self.encodable:
            self._missing(index)
        glance = self._glance(index)
        words = fact["first_words"] if fact else glance.first_words
        turns = fact["turns"] if fact else glance.turns
        tokens = f"{fact['tokens']:,}" if fact and fact["tokens"] else ""
        return (f"{index + 1:,}", str(turns or ""), tokens, self._problem(index, fact), words)

    def _problem(self, index: int, fact: dict[str, Any] | None) -> Cell:
        known = self._problems.get(index)
        if known:
            worst = min(known, key=lambda problem: RANK[problem["severity"]])
            return worst["check"], SEVERITY[worst["severity"]]
        if fact and fact["problems"]:
            return fact["problems"][0], SEVERITY[fact["severity"]]
        return ""

    def _glance(self, index: int) -> Glance:
        glance = self._glances.get(index)
        if glance is None:
            assert self.source is not None
            glance = self._glances[index] = glance_at(self.source.row(index), self.shape)
            if len(self._glances) > KEPT_FACTS:
                self._glances.popitem(last=False)
        return glance


def messages_of(row: Row, shape: str) -> list[tuple[str, str]]:
    """(role, text) of each turn of a row; a document has the role ""; empty if it can't be read."""
    if row.value is None:
        return []
    name = shape if shape in SHAPES else shape_of(row.value)
    sample = read_sample(name, row.value).sample if name in SHAPES else None
    if isinstance(sample, Text):
        return [("", sample.text)]
    if isinstance(sample, Conversation):
        return [(str(m["role"]), str(m.get("content") or "")) for m in sample.messages]
    return []


def glance_at(row: Row, shape: str) -> Glance:
    """How a row begins for a reader: its first question, its text, or what is broken."""
    turns = messages_of(row, shape)
    if turns:
        text = next((text for role, text in turns if role == "user"), turns[0][1])
        return Glance(len(turns), _first(text))
    if row.problem is not None:
        return Glance(0, row.problem.found)
    return Glance(0, _first(str(row.value)))


def _first(text: str) -> str:
    return " ".join(text[:FIRST_CHARACTERS].split())


def columns(width: int, rows: int = 0) -> list[Column]:
    """The columns of the list in so many cells, for so many rows: problems are cut first."""
    problem = 12 if width < 72 else 16 if width < 90 else 22
    return [
        Column("row", max(4, len(f"{rows:,}")), right=True),
        Column("turns", 5, right=True),
        Column("tokens", 6, right=True),
        Column("problem", problem),
        Column("first words", 0),
    ]
