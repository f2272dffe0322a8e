"""The rows of a data file as the list draws them: at once, with facts as they come.

Nothing is kept for every row: the index is the Source's, a view's rows lie in a mapped file, and of
what was drawn the newest few thousand are remembered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from core.data.files.source import Row, Source
from core.data.sample import (
    Conversation,
    Labelled,
    Preference,
    Sample,
    Text,
    Tokens,
    UnpairedPreference,
)
from core.data.shapes.detect import SHAPES, detect, shape_of
from core.data.shapes.read import Reader
from tui.data.view import View
from tui.theme import AMBER, SECONDARY, SEVERITY
from tui.widgets.row_list import Cell, Column

KEPT = 2_000  # rows whose facts and first words are remembered
FIRST_CHARACTERS = 400
RANK = {"error": 0, "warning": 1, "note": 2}
MARK = "*"  # before the number of a marked row


class Glance(NamedTuple):
    """What a row shows without a tokenizer."""

    turns: int
    first_words: str


class DataRows:
    """The rows of a file, or of a view of it. In the list they have positions, here indexes.

    `missing` is called with the index of a drawn row whose facts are to be asked for.
    """

    def __init__(self, source: Source | None, missing: Callable[[int], object]) -> None:
        self.source = source
        self.view: View | None = None  # None: all rows in the file's order
        self.shape = ""
        self.template: str | None = None  # of the shape "template"
        self.marked: set[int] = set()
        self.edited: Collection[int] = ()  # rows with a change that is not written yet
        self.dropped: Collection[int] = ()
        self.extra = ""  # a fact that gets a column of its own
        self.readable = False  # whether facts can be had
        self.encodable = False  # whether they tell of tokens
        self._missing = missing
        self._glances: OrderedDict[int, Glance] = OrderedDict()
        self._facts: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self._fresh: set[int] = set()  # of the facts, those that need not be asked for again

    def __len__(self) -> int:
        return self.total if self.view is None else len(self.view)

    @property
    def total(self) -> int:
        """Rows of the whole file that were found so far."""
        return len(self.source) if self.source is not None else 0

    def index_of(self, position: int) -> int:
        """The row at a position of the list."""
        return position if self.view is None else self.view[position]

    def position_of(self, index: int) -> int | None:
        """Where a row stands in the list; None if it is not among those shown."""
        return index if self.view is None else self.view.place(index)

    def forget_facts(self) -> None:
        """Facts are to come anew: something that decides them has changed."""
        self._facts.clear()
        self._fresh.clear()
        self.readable = self.encodable = False

    def refresh_facts(self) -> None:
        """More is known of the rows now: the facts are asked for again, the old ones stay seen."""
        self._fresh.clear()

    def forget_rows(self, indexes: Sequence[int]) -> None:
        """These rows were edited: nothing that was read of them holds."""
        for index in indexes:
            self._facts.pop(index, None)
            self._glances.pop(index, None)
            self._fresh.discard(index)

    def guess_shape(self, named: str | None) -> None:
        """Finds the shape by itself, so that rows read well before the worker has answered."""
        if self.source is not None and len(self.source):
            self.set_shape(named or detect(self.source).shape)

    def set_shape(self, shape: str) -> None:
        if shape != self.shape:
            self.shape = shape
            self._glances.clear()

    def add_facts(self, facts: Sequence[dict[str, Any]]) -> None:
        for fact in facts:
            self._facts[fact["index"]] = fact
            self._fresh.add(fact["index"])
        while len(self._facts) > KEPT:
            old, _ = self._facts.popitem(last=False)
            self._fresh.discard(old)

    def facts(self, index: int) -> dict[str, Any] | None:
        return self._facts.get(index)

    def cells(self, position: int) -> Sequence[Cell]:
        index = self.index_of(position)
        fact = self._facts.get(index)
        if self.readable and index not in self._fresh:
            self._missing(index)
        glance = self._glance(index)
        words = fact["first_words"] if fact else glance.first_words
        turns = fact["turns"] if fact else glance.turns
        tokens = f"{fact['tokens']:,}" if fact and fact["tokens"] else ""
        cells: list[Cell] = [self._number(index), str(turns or ""), tokens]
        if self.extra:
            cells.append(self._extra(index, fact))
        return [*cells, _problem(fact), self._state(index, words)]

    def _number(self, index: int) -> Cell:
        number = f"{index + 1:,}"
        return (MARK + number, AMBER) if index in self.marked else number

    def _state(self, index: int, words: str) -> Cell:
        """The first words, with what the person has done to the row before them."""
        if index in self.dropped:
            return f"dropped: {words}", SECONDARY
        return (f"edited: {words}", AMBER) if index in self.edited else words

    def _extra(self, index: int, fact: dict[str, Any] | None) -> str:
        if self.extra == "bytes":
            assert self.source is not None
            return f"{len(self.source.raw(index)):,}"
        value = fact.get(self.extra) if fact else None
        return f"{value:,}" if type(value) is int else "" if value is None else str(value)

    def _glance(self, index: int) -> Glance:
        glance = self._glances.get(index)
        if glance is None:
            assert self.source is not None
            row = self.source.row(index)
            glance = self._glances[index] = glance_at(row, self.shape, self.template)
            if len(self._glances) > KEPT:
                self._glances.popitem(last=False)
        return glance


def _problem(fact: dict[str, Any] | None) -> Cell:
    """The row's worst problem."""
    if not fact or not fact["problems"]:
        return ""
    more = f" +{len(fact['problems']) - 1}" if len(fact["problems"]) > 1 else ""
    return fact["problems"][0] + more, SEVERITY[fact["severity"]]


def turns_of(sample: Sample | None) -> list[tuple[str, str]]:
    """(role, text) of each turn of a sample; a document has the role ""."""
    if isinstance(sample, Conversation):
        return [(str(m["role"]), str(m.get("content") or "")) for m in sample.messages]
    if isinstance(sample, Preference):
        return turns_of(sample.chosen)
    if isinstance(sample, UnpairedPreference):
        return turns_of(sample.answer)
    if isinstance(sample, Labelled):
        return [("", part) for part in (sample.text, sample.pair) if part]
    return [("", sample.text)] if isinstance(sample, Text) else []


def messages_of(row: Row, shape: str, template: str | None = None) -> list[tuple[str, str]]:
    """The turns of a row as `turns_of` has them; empty if it can't be read."""
    return turns_of(_sample_of(row, shape, template))


def glance_at(row: Row, shape: str, template: str | None = None) -> Glance:
    """How a row begins for a reader: its first question, its text, or what is broken."""
    sample = _sample_of(row, shape, template)
    turns = turns_of(sample)
    if turns:
        text = next((text for role, text in turns if role == "user"), turns[0][1])
        return Glance(len(turns), _first(text))
    if isinstance(sample, Tokens):
        return Glance(1, _first(" ".join(map(str, sample.ids[:FIRST_CHARACTERS]))))
    if row.problem is not None:
        return Glance(0, _first(row.problem.found))
    return Glance(0, _first(str(row.value)))


def _sample_of(row: Row, shape: str, template: str | None) -> Sample | None:
    if row.value is None:
        return None
    name = shape if shape in SHAPES else shape_of(row.value)
    if name not in SHAPES or (name == "template" and not template):
        return None
    return Reader(name, template).read(row).sample


def _first(text: str) -> str:
    return " ".join(text[:FIRST_CHARACTERS].split())


class Order(NamedTuple):
    """By what the rows are sorted, for the header."""

    fact: str = ""
    descending: bool = False


# fact of a sort -> the column that shows it; others get a column of their own
SHOWN_IN = {"row": "row", "turns": "turns", "tokens": "tokens", "problems": "problem",
            "severity": "problem"}  # fmt: skip
EXTRA = ("supervised", "truncated", "bytes", "label", "line")


FILE_ORDER = Order()


def columns(
    width: int, rows: int = 0, order: Order = FILE_ORDER, arrows: str = "^v"
) -> list[Column]:
    """The columns of the list in so many cells, for so many rows: problems are cut first."""
    problem = 12 if width < 72 else 16 if width < 90 else 22
    arrow = arrows[order.descending] if order.fact else ""
    sorted_by = SHOWN_IN.get(order.fact, order.fact)

    def column(title: str, size: int, right: bool = False) -> Column:
        title = title + arrow if title == sorted_by else title
        return Column(title, max(size, len(title)) if size else 0, right)

    found = [
        column("row", max(4, len(f"{rows:,}") + 1), True),
        column("turns", 5, True),
        column("tokens", 6, True),
    ]
    if order.fact in EXTRA:
        found.append(column(order.fact, 7, True))
    return [*found, column("problem", problem), column("first words", 0)]
