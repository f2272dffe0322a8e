"""Breaking text into the lines of a narrow column, by cells as a terminal counts them."""

from __future__ import annotations

import re

from rich.cells import cell_len, chop_cells

TAB = 4  # cells
_WORDS = re.compile(r"\s*\S+\s*?(?=\s|$)|\s+")


def wrap(text: str, width: int) -> list[str]:
    """One line of text as lines of at most `width` cells, broken between words where it can be.

    Blanks at a break are dropped, those at the beginning stay: code keeps its indent.
    """
    text = text.expandtabs(TAB).rstrip()
    if width < 1 or cell_len(text) <= width:
        return [text]
    lines: list[str] = []
    line, used = "", 0
    for word in _WORDS.findall(text):
        size = cell_len(word)
        if used + size <= width:
            line, used = line + word, used + size
            continue
        if line.strip():
            lines.append(line.rstrip())
            word = word.lstrip()
        pieces = chop_cells(word, width)
        lines += pieces[:-1]
        line = pieces[-1] if pieces else ""
        used = cell_len(line)
    if line.strip() or not lines:
        lines.append(line)
    return lines
