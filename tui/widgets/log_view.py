"""The end of a log file, line by line, as its process printed it; errors stand out."""

from __future__ import annotations

import re

from tui.theme import UNICODE, Symbols
from tui.widgets.live_text import LiveText

MOST_LINES = 2000
_ERROR = re.compile(r"^(Traceback |\w*(Error|Exception)\b|Segmentation fault|Killed\b|.*\bERROR\b)")
_WARNING = re.compile(r"(?i)\bwarning\b")


class LogView(LiveText):
    """Whole lines are handed in; the newest 2,000 stay."""

    def __init__(self, *, symbols: Symbols = UNICODE, id: str | None = None) -> None:  # noqa: A002
        super().__init__(symbols=symbols, most_blocks=MOST_LINES, id=id)

    def show_lines(self, lines: list[str]) -> None:
        """Shows these lines instead of the ones before."""
        self.blocks([(_kind(line), settled(line)) for line in lines[-MOST_LINES:]])


def settled(line: str) -> str:
    """A line as a terminal would leave it: the last state of a progress bar."""
    return line.rstrip("\r").rpartition("\r")[2]


def _kind(line: str) -> str:
    if _ERROR.match(line):
        return "error"
    return "warning" if _WARNING.search(line) else "note" if line.startswith("  ") else "text"
