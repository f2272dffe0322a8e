"""What can be wrong with a row: the record that pane, commands and trainer share."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

ERROR = "error"  # services refuse such a row; where it teaches nothing it is not trained
WARNING = "warning"  # the row is used, and something of it is lost or odd
NOTE = "note"  # worth a look


class RowProblem(msgspec.Struct, frozen=True):
    """One thing that is wrong with one row. Row and line count from 1; 0 is the whole file."""

    row: int
    line: int
    check: str  # a name of the table in docs: "invalid_json", "unrecognized_role", ...
    severity: str  # "error", "warning" or "note"
    field: str  # where in the row: "messages[2].content"; empty for the whole row
    found: str
    expected: str
    fix: str
    token: int | None = None  # index of the token where it sits, in the row as the model sees it

    def at(self, row: int, line: int) -> RowProblem:
        """The same problem with its place in the file."""
        return msgspec.structs.replace(self, row=row, line=line)

    def __str__(self) -> str:
        place = f"row {self.row}" if self.row else "file"
        field = f" {self.field}" if self.field else ""
        return f"{place}{field}: {self.check}: found {self.found}, expected {self.expected}"


def problem(
    check: str,
    field: str,
    found: str,
    expected: str,
    fix: str,
    severity: str = ERROR,
    token: int | None = None,
) -> RowProblem:
    """A problem whose place in the file is not known yet (row and line 0); see `RowProblem.at`."""
    return RowProblem(0, 0, check, severity, field, found, expected, fix, token)


def shorten(value: object, limit: int = 60) -> str:
    """A value for a sentence: quoted if it is text, cut at `limit` characters."""
    # A value can be as long as its row: no more of it is copied than is shown.
    text = f'"{value[:limit]}"' if isinstance(value, str) else str(value)
    return text if len(text) <= limit else f"{text[: limit - 4]}...{text[-1]}"


def listing(names: Iterable[object], limit: int = 120) -> str:
    """Names for a sentence, with commas, up to `limit` characters: "role, content and 3 more"."""
    words = [str(name)[:limit] for name in names]
    shown = ", ".join(words)
    kept = len(words)
    while len(shown) > limit and kept > 1:
        kept = min(kept - 1, max(1, kept * limit // len(shown)))
        shown = f"{', '.join(words[:kept])} and {len(words) - kept} more"
    return shown


def kind_of(value: object) -> str:
    """The JSON name of a value's type: "an object", "a list", "a number", "null"."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    names = {dict: "an object", list: "a list", str: "text", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)
