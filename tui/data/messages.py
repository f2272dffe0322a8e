"""What the data worker's answers are posted to the pane as."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.message import Message


class DataNews(Message):
    """An answer about the open data file, and the method of the pane that takes it."""

    def __init__(
        self, generation: int, take: Callable[[dict[str, Any]], object], answer: dict[str, Any]
    ) -> None:
        super().__init__()
        self.generation = generation  # grows with every open: what comes late is dropped
        self.take = take
        self.answer = answer
