"""Rows as samples, where a test has no file of them."""

from __future__ import annotations

from core.data.problems import RowProblem
from core.data.sample import Sample
from core.data.shapes.conversations import Value
from core.data.shapes.read import read_sample


class RowRefused(Exception):
    """A row that can't become a sample; carries every problem that stands in its way."""

    def __init__(self, problems: list[RowProblem]) -> None:
        super().__init__("; ".join(str(item) for item in problems))
        self.problems = problems


def to_sample(shape: str, value: Value) -> Sample:
    """The sample in a row; raises RowRefused with the problems that stand in its way."""
    reading = read_sample(shape, value)
    if reading.sample is None:
        raise RowRefused(reading.problems)
    return reading.sample
