"""What the data worker answers about edits, and about writing rows anew.

Rows are indexes from 0 in requests, numbers from 1 in reports.

edit     {row, text: YAML or JSON, or null to undo}
         -> {ok, problems, value}: kept when ok; problems without an error are told all the same
editable {row} -> {text}
drop     {rows, on} -> {dropped, edited}: how many are pending
pending  {} -> {edited: [rows], dropped: [rows], lost: how many edits have lost their row}
write*   {out, format: same|openai|sharegpt|alpaca|trl, fixes: [...], view?: file, overwrite?}
         on the way {kind "progress", done, total} -> {report: Written.fields()}
         fixes: drop_errors, drop_duplicates, drop_near_duplicates, truncate, drop:CHECK
split*   {out_dir, eval?, by?, seed?, near?, overwrite?}
         on the way {kind "progress", done, total} -> {report: SplitReport.fields()}
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.data.edit.convert import target
from core.data.edit.editable import dump_row, parse_row
from core.data.edit.edits import Edits
from core.data.edit.split_files import SplitTask, split_file
from core.data.edit.writer import Cancel, Fixes, Task, write_file
from core.data.files.source import Row
from core.data.problems import ERROR, RowProblem, problem
from core.data.shapes.read import Reader
from core.data.worker.session import Opened, Session
from core.errors import AfinaError, nearest
from core.pipe import Handler, Message, Request

FIXES = ("drop_errors", "drop_duplicates", "drop_near_duplicates", "truncate")
_PROGRESS_S = 0.2


class EditRequests:
    """Edits of the open file, and new files made of it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def handlers(self) -> Mapping[str, Handler]:
        return {**self.background(), **self.foreground()}

    def background(self) -> Mapping[str, Handler]:
        """Each of these runs in a thread of its own."""
        return {"write": self.write, "split": self.split}

    def foreground(self) -> Mapping[str, Handler]:
        """These are answered at once."""
        return {
            "edit": self.edit,
            "editable": self.editable,
            "drop": self.drop,
            "pending": self.pending,
        }

    def editable(self, request: Request) -> Message:
        """The text of a row for an editor; of one that can't be read, its bytes as they are."""
        opened, row = self._row(request.fields["row"])
        if row.value is None:
            return {"text": opened.source.raw(row.index).decode("utf-8", "replace") + "\n"}
        return {"text": dump_row(row.value)}

    def edit(self, request: Request) -> Message:
        """Keeps a new value for a row, where it can be read; the old one again for null."""
        opened, row = self._row(request.fields["row"])
        edits, text = _edits_of(opened), request.fields["text"]
        if text is None:
            edits.undo(row.index)
            before = opened.source.row(row.index)
            return {"ok": True, "problems": [], "value": before.value}
        value, problems = self._understood(opened, row, text)
        ok = not any(item.severity == ERROR for item in problems)
        if ok:
            edits.edit(opened.source, row.index, value)
        return {"ok": ok, "problems": problems, "value": value}

    def drop(self, request: Request) -> Message:
        """Marks rows to be left out of what is written, or takes that back."""
        opened = self._session.current()
        edits, rows = _edits_of(opened), request.fields["rows"]
        wanted = [row for row in rows if 0 <= row < len(opened.source)]
        edits.drop(opened.source, wanted, request.fields.get("on", True))
        return {"dropped": len(edits.dropped), "edited": len(edits.edited)}

    def pending(self, request: Request) -> Message:
        """The rows with changes that are not written yet."""
        edits = _edits_of(self._session.current())
        return {
            "edited": sorted(edits.edited),
            "dropped": sorted(edits.dropped),
            "lost": len(edits.lost),
        }

    def write(self, request: Request) -> Message:
        """Writes the rows, as they are to be, to a new file."""
        opened, fields = self._session.current(), request.fields
        form, fixes = fields.get("format", "same"), _fixes(fields.get("fixes", ()))
        if opened.reader is None and (form != "same" or fixes != Fixes()):
            opened.subject()  # raises why the rows can't be read
        task = Task(
            opened.source,
            opened.reader or Reader("text"),  # rows of no known shape are written as they are
            opened.encoder,
            edits=_edits_of(opened).snapshot(),
            rows=_view(fields.get("view")),
            fixes=fixes,
            target=None if form == "same" else target(form),
            guard=self._session.gate.background,
        )
        try:
            report = write_file(
                task,
                fields["out"],
                fields.get("overwrite", False),
                _progress(request),
                request.cancelled.is_set,
            )
        except Cancel:
            return {"kind": "cancelled"}
        return {"report": report.fields()}

    def split(self, request: Request) -> Message:
        """Writes the rows to two new files, one to train on and one to evaluate with."""
        opened, fields = self._session.current(), request.fields
        task = SplitTask(
            opened.source,
            opened.subject().reader,
            fields.get("eval"),
            fields.get("by") or None,
            fields.get("seed", 42),
            fields.get("near", False),
        )
        try:
            report = split_file(
                task,
                fields["out_dir"],
                fields.get("overwrite", False),
                _progress(request),
                request.cancelled.is_set,
            )
        except Cancel:
            return {"kind": "cancelled"}
        report.pending = len(_edits_of(opened))
        return {"report": report.fields()}

    def _row(self, index: int) -> tuple[Opened, Row]:
        """A row of the open file, as it is to be."""
        opened = self._session.current()
        if not 0 <= index < len(opened.source):
            raise AfinaError(f"There is no row {index + 1}: the file has {len(opened.source)}.")
        _edits_of(opened)
        return opened, opened.rows.row(index)

    def _understood(self, opened: Opened, row: Row, text: str) -> tuple[Any, list[RowProblem]]:
        """The value of an edited text with its problems, those of its own among them."""
        try:
            value = parse_row(text)
        except AfinaError as error:
            fix = error.hint or "Correct the text."
            found = problem("invalid_json", "", error.message, "YAML or JSON", fix)
            return None, [found.at(row.number, row.line)]
        if not isinstance(value, dict | list):
            fix = "Write the row as keys and values."
            found = problem("not_an_object", "", "a single value", "an object", fix)
            return None, [found.at(row.number, row.line)]
        if opened.reader is None:  # rows of no known shape are edited too
            return value, []
        reading = opened.reader.read(Row(row.index, row.line, value))
        problems = [item.at(row.number, row.line) for item in reading.problems]
        return value, problems


def _edits_of(opened: Opened) -> Edits:
    """The pending edits; raises AfinaError where they can't be read."""
    if opened.edits is None:
        opened.edits = Edits.load(opened.source)
    return opened.edits


def _fixes(names: Sequence[str]) -> Fixes:
    """The fixes that a request names; raises AfinaError for one that is not known."""
    for name in names:
        if name not in FIXES and not name.startswith("drop:"):
            hint = f"{nearest(name, FIXES)} Fixes: {', '.join(FIXES)}, drop:CHECK."
            raise AfinaError(f'There is no fix "{name}".', hint.lstrip())
    return Fixes(
        drop_errors="drop_errors" in names,
        drop_checks=tuple(name.removeprefix("drop:") for name in names if name.startswith("drop:")),
        drop_duplicates="drop_duplicates" in names,
        drop_near="drop_near_duplicates" in names,
        truncate="truncate" in names,
    )


def _view(file: str | None) -> Sequence[int] | None:
    """The rows that a view left in its file, as native uint32."""
    if file is None:
        return None
    rows = array("I")
    try:
        rows.frombytes(Path(file).read_bytes())
    except (OSError, ValueError) as error:
        raise AfinaError(f'Can\'t read the view "{file}": {error}.') from error
    return rows


def _progress(request: Request) -> Any:
    last = 0.0

    def tell(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _PROGRESS_S:
            last = now
            request.send("progress", done=done, total=total)

    return tell
