"""What a person has changed in the rows and not yet written, in words; and the texts they edit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.text import Text

from core.data.escape import visible
from core.paths import make_folder, write_atomic
from tui.data.text import count
from tui.theme import SECONDARY, SEVERITY, TEXT

FOLDER = "drafts"


class Pending(NamedTuple):
    """Rows (from 0) with an edit, and rows to be left out, none of it written yet."""

    edited: frozenset[int] = frozenset()
    dropped: frozenset[int] = frozenset()
    lost: int = 0  # edits whose row is no longer in the file

    def __bool__(self) -> bool:
        return bool(self.edited or self.dropped)

    def words(self) -> str:
        """ "2 edited, 5 dropped"; empty when nothing is pending."""
        parts = [(len(self.edited), "edited"), (len(self.dropped), "dropped")]
        return ", ".join(f"{number:,} {word}" for number, word in parts if number)


def rows_words(rows: Sequence[int]) -> str:
    """ "row 7", "3 rows"."""
    return f"row {rows[0] + 1:,}" if len(rows) == 1 else count(len(rows), "row")


class Draft:
    """The text of a row while it is edited: a file under the home that outlives the app."""

    def __init__(self, home: Path, data_path: str, row: int) -> None:
        where = os.path.abspath(os.path.expanduser(data_path))
        key = hashlib.sha256(os.fsencode(where)).hexdigest()[:8]
        self.path = home / FOLDER / f"{Path(where).stem[:40]}-{key}-row-{row + 1}.yaml"

    def read(self) -> str | None:
        """The text that was kept, None if there is none."""
        try:
            return self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None

    def write(self, text: str) -> None:
        """Raises OSError where it can't be kept."""
        make_folder(self.path.parent)
        write_atomic(self.path, text)

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)


def refusal_words(problems: Sequence[dict[str, Any]], draft: Path) -> Text:
    """Why an edited row can't be used, and where its text is kept."""
    text = Text()
    for problem in problems:
        place = f" {visible(problem['field'])}" if problem["field"] else ""
        text.append(problem["check"], f"bold {SEVERITY[problem['severity']]}")
        text.append(place, SECONDARY)
        text.append(f" {visible(problem['found'], newlines=False)}\n", TEXT)
        text.append(f"  {visible(problem['fix'])}\n", SECONDARY)
    text.append(f"\nThe text is kept in {visible(str(draft))}\n\n", SECONDARY)
    return text.append("Go on editing it? No leaves the row as it was.", TEXT)
