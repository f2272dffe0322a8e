"""Messages that threads and workers post to the app; each carries one immutable snapshot."""

from __future__ import annotations

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
    """Something about the open data file.

    topic: "indexed" {source, whole}, "refused" {message, hint} (the file can't be read), "opened",
    "facts", "shown", "stats", "problems", "checked" (the data worker's answers, see
    core/data/worker.py), "trouble" {message, hint} (rows can be read but not encoded).
    """

    def __init__(self, generation: int, topic: str, fields: dict[str, Any]) -> None:
        super().__init__()
        self.generation = generation  # grows with every open: what comes late is dropped
        self.topic = topic
        self.fields = fields
