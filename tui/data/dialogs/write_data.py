"""Writing the rows to a new file: where to, in which form, what is mended on the way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.text import Text

from tui.data.dialogs.output import OutputDialog, Work
from tui.data.outputs import FIXES, FORMATS, Rows, plan_words, written_words
from tui.data.text import count
from tui.dialogs.path import shown
from tui.widgets.form import Form
from tui.widgets.form_lines import Group, Option

ALL, SHOWN = "all", "those shown"


class WriteDialog(OutputDialog):
    """`sources` are the files that must not be written over; `view` holds the rows of a filter."""

    heading = "write a new file"

    def __init__(
        self, work: Work, target: Path, sources: list[Path], rows: Rows, view: Path | None
    ) -> None:
        super().__init__(work)
        self._target = target
        self._sources = [path.expanduser().resolve() for path in sources]
        self._rows = rows
        self._view = view
        self._format = FORMATS[0]
        self._only_shown = view is not None
        self._fixes: set[str] = set()

    def groups(self) -> list[Group]:
        problem = self.problem()
        target = Option(
            "out",
            "file",
            shown(self._target),
            problems=(("error", problem),) if problem else (),
        )
        form = Option("format", "format", self._format, choices=FORMATS, own=self._format != "same")
        options = [target, form]
        if self._view is not None:
            value = SHOWN if self._only_shown else ALL
            options.append(Option("rows", "rows", value, choices=(SHOWN, ALL)))
        fixes = [
            Option(
                fix.name,
                fix.label,
                "yes" if fix.name in self._fixes else "no",
                self._hint(fix),
                ("no", "yes"),
                fix.name in self._fixes,
            )
            for fix in FIXES
        ]
        return [Group("New file", options), Group("Fixes", fixes)]

    def _hint(self, fix: Any) -> str:
        found = self._rows.found(fix)
        return count(found, "row" if fix.check else "error") if found else ""

    def on_form_edited(self, event: Form.Edited) -> None:
        name, value = event.name, event.value
        if name == "out":
            self._target = Path(value or self._target).expanduser()
        elif name == "format":
            self._format = value or FORMATS[0]
        elif name == "rows":
            self._only_shown = (value or SHOWN) == SHOWN
        elif value == "yes":
            self._fixes.add(name)
        else:
            self._fixes.discard(name)
        self._refused = ""
        self.draw()

    def problem(self) -> str:
        if self._target.resolve() in self._sources:
            return "That is the open file itself, and it is never written over."
        if self._target.is_dir():
            return "That is a folder."
        return ""

    def plan(self) -> Text:
        return plan_words(self._rows, self._only_shown, self._fixes)

    def targets(self) -> list[Path]:
        return [self._target]

    def fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "out": str(self._target),
            "format": self._format,
            "fixes": [fix.name for fix in FIXES if fix.name in self._fixes],
        }
        if self._only_shown and self._view is not None:
            fields["view"] = str(self._view)
        return fields

    def report_words(self, report: Mapping[str, Any]) -> Text:
        return written_words(report)
