"""Messages that threads and workers post to the app; each carries one immutable snapshot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.message import Message

from tui.activity import Activity


class ActivityTick(Message):
    """What goes on outside the app, once a second. A newer one replaces those not handled yet."""

    def __init__(self, activity: Activity) -> None:
        super().__init__()
        self.activity = activity

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, ActivityTick)


class DataNews(Message):
    """An answer about the open data file, and the method of the pane that takes it."""

    def __init__(
        self, generation: int, take: Callable[[dict[str, Any]], object], answer: dict[str, Any]
    ) -> None:
        super().__init__()
        self.generation = generation  # grows with every open: what comes late is dropped
        self.take = take
        self.answer = answer
