"""A rounded frame: title at the left above, facts at the right below; amber with the focus."""

from __future__ import annotations

from rich.text import Text
from textual.containers import Container
from textual.widgets import Static


class Frame(Container, can_focus=False):
    """A frame around one widget or a few. Title and facts are plain text, never markup."""

    DEFAULT_CSS = """
    Frame {
        layout: vertical; width: 1fr; height: 1fr; padding: 0 1;
        border: round $frame; border-title-align: left; border-subtitle-align: right;
        border-title-color: $amber; border-title-style: bold;
        border-subtitle-color: $muted; background: $background;
    }
    Frame:focus-within { border: round $amber; }
    """

    def __init__(self, title: str = "", facts: str = "", **options) -> None:  # noqa: ANN003
        super().__init__(**options)
        self.set_title(title)
        self.set_facts(facts)

    def set_title(self, title: str) -> None:
        self.border_title = Text(title)

    def set_facts(self, facts: str | Text) -> None:
        """What stands at the lower right: "chat · 12,480 rows · 3 errors"."""
        self.border_subtitle = facts if isinstance(facts, Text) else Text(facts)


class Words(Static):
    """A few plain words; rich Text for colours, a str is never markup."""

    DEFAULT_CSS = "Words { width: 1fr; height: auto; color: $foreground; }"

    def __init__(self, words: str | Text = "", **options) -> None:  # noqa: ANN003
        super().__init__(words, markup=False, **options)
