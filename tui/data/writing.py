"""New files from the Data pane: the rows as they are to be, and the split into two files."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tui.data.base import DataBase
from tui.data.dataset import Answer
from tui.data.dialogs.output import OutputDialog, Work
from tui.data.edits import Pending
from tui.data.outputs import Rows, proposed, proposed_folder

MOST_COLUMNS = 12  # that are offered to split by


class DataOut(DataBase):
    """Opens the dialogs, and what they have written."""

    pending: Pending

    def why_not(self, action: str) -> str:
        if action not in ("write", "split"):
            return super().why_not(action)
        if self.afina.readonly:
            return "The workbench was opened to look only (--readonly)."
        if not self.rows.total:
            return "No rows are open."
        if not self.state.opened:
            return self.state.trouble or "The rows are still being read."
        return ""

    def _work(self, op: str, dialog: list[OutputDialog]) -> Work:
        def start(**fields) -> int | None:  # noqa: ANN003
            return self.ask(op, dialog[0].take, dialog[0].refuse, **fields)

        return Work(start, self.dataset.cancel)

    def action_write(self) -> None:
        from tui.data.dialogs.write_data import WriteDialog

        view = self.rows.view
        rows = Rows(
            self.rows.total,
            None if view is None else len(view),
            self.pending,
            self.state.survey,
            self.state.surveyed,
        )
        files = [Path(path) for path in self.state.opened.get("files", [])]
        target = proposed(self.subject.path, bool(self.pending))
        made: list[OutputDialog] = []
        dialog = WriteDialog(
            self._work("write", made), target, files, rows, None if view is None else view.path
        )
        made.append(dialog)
        self.app.push_screen(dialog, self._open_written)

    def _open_written(self, report: Answer | None) -> None:
        if report is not None:
            self.afina.open_data(report["path"])

    def action_split(self) -> None:
        from tui.data.dialogs.split_data import SplitDialog

        columns = self._columns()
        folder = proposed_folder(self.subject.path)
        made: list[OutputDialog] = []
        work = self._work("split", made)
        dialog = SplitDialog(work, folder, self.rows.total, columns, self.pending.words())
        made.append(dialog)
        self.app.push_screen(dialog, self._open_split)

    def _columns(self) -> list[str]:
        """What the rows may be parted by: "label" where they have one, then their columns."""
        here, source = self.here, self.rows.source
        value = source.row(here).value if source is not None and here is not None else None
        keys = [key for key, item in value.items() if isinstance(item, str | int)] if (
            isinstance(value, dict)
        ) else []  # fmt: skip
        first = ["label"] if self.rows.shape in ("classification", "kto") else []
        return list(dict.fromkeys([*first, *keys]))[:MOST_COLUMNS]

    def _open_split(self, report: Answer | None) -> None:
        if report is not None:
            self.afina.open_data(report["train"])
            data = msgspec.structs.replace(self.config.data, eval_path=report["eval"])
            self.afina.set_config(msgspec.structs.replace(self.config, data=data))
            self.afina.say("The two files are the data to train on and to evaluate on now.")
