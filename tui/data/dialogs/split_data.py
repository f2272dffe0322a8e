"""Splitting the rows: a file to train on, one to evaluate on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.text import Text

from core.data.edit.split_files import NAMES, default_fraction
from tui.data.dialogs.output import OutputDialog, Work
from tui.data.outputs import split_words
from tui.dialogs.path import shown
from tui.theme import AMBER, SECONDARY, TEXT
from tui.widgets.form import Form
from tui.widgets.form_lines import Group, Option

NO_FIELD = "no field"
SEED = 42


class SplitDialog(OutputDialog):
    """`fields` are the columns that the rows may be parted by; `pending` is said of."""

    heading = "split into two files"

    def __init__(
        self, work: Work, folder: Path, rows: int, columns: list[str], pending: str
    ) -> None:
        super().__init__(work)
        self._folder = folder
        self._rows = rows
        self._columns = columns
        self._pending = pending
        self._default, self._reason = default_fraction(rows)
        self._texts = {"eval": "", "seed": str(SEED)}  # as typed
        self._by = NO_FIELD
        self._near = False

    def groups(self) -> list[Group]:
        wrong = self._wrong()

        def problems(name: str) -> tuple[tuple[str, str], ...]:
            return (("error", wrong[1]),) if wrong and wrong[0] == name else ()

        share = self._texts["eval"] or f"{self._default:.3g}"
        return [
            Group(
                "New files",
                [
                    Option("out_dir", "folder", shown(self._folder), " and ".join(NAMES)),
                    Option(
                        "eval",
                        "share to evaluate",
                        share,
                        own=bool(self._texts["eval"]),
                        problems=problems("eval"),
                    ),
                    Option("by", "in proportion by", self._by, choices=(NO_FIELD, *self._columns),
                           own=self._by != NO_FIELD),
                    Option("seed", "seed", self._texts["seed"], problems=problems("seed"),
                           own=self._texts["seed"] != str(SEED)),
                    Option("near", "near copies on one side", "yes" if self._near else "no",
                           "slower", ("no", "yes"), self._near),
                ],
            )
        ]  # fmt: skip

    def on_form_edited(self, event: Form.Edited) -> None:
        name, value = event.name, event.value
        if name == "out_dir":
            self._folder = Path(value or self._folder).expanduser()
        elif name == "by":
            self._by = value or NO_FIELD
        elif name == "near":
            self._near = value == "yes"
        elif name == "seed":
            self._texts["seed"] = (value or str(SEED)).strip()
        else:
            self._texts["eval"] = (value or "").strip()
        self._refused = ""
        self.draw()

    def _wrong(self) -> tuple[str, str] | None:
        """The option that can't be used, and why."""
        try:
            share = float(self._texts["eval"] or self._default)
        except ValueError:
            share = -1.0
        if not 0.0 < share < 1.0:
            return "eval", "A share is a number between 0 and 1, such as 0.1."
        if not self._texts["seed"].isascii() or not self._texts["seed"].isdecimal():
            return "seed", "A seed is a whole number, such as 42."
        return None

    def problem(self) -> str:
        wrong = self._wrong()
        return wrong[1] if wrong else ""

    def plan(self) -> Text:
        share = self._default if self._wrong() else float(self._texts["eval"] or self._default)
        held = max(1, round(share * self._rows))
        text = Text(f"{self._rows - held:,} rows to train on, {held:,} to evaluate on", TEXT)
        if not self._texts["eval"]:
            text.append(f"\n{self._reason}.", SECONDARY)
        text.append("\nCopies of a row stay on one side.", SECONDARY)
        if self._pending:
            text.append(f"\n{self._pending}: not in these files. Write them first (w).", AMBER)
        return text

    def targets(self) -> list[Path]:
        return [self._folder / name for name in NAMES]

    def fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "out_dir": str(self._folder),
            "seed": int(self._texts["seed"]),
            "near": self._near,
        }
        if self._texts["eval"]:
            fields["eval"] = float(self._texts["eval"])
        if self._by != NO_FIELD:
            fields["by"] = self._by
        return fields

    def report_words(self, report: Mapping[str, Any]) -> Text:
        return split_words(report)
