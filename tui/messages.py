"""Messages that threads and workers post to the app; each carries one immutable snapshot."""

from __future__ import annotations

from textual.message import Message

from tui.activity import Activity


class ActivityTick(Message):
    """What goes on outside the app, once a second. A newer one replaces those not handled yet."""

    def __init__(self, activity: Activity) -> None:
        super().__init__()
        self.activity = activity

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, ActivityTick)
