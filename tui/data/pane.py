"""The Data pane: the rows of a file, one of them as the model sees it, and the token statistics."""

from __future__ import annotations

from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Container

from core.config import Config
from tui.actions import Action, bindings, of_scope
from tui.data.editing import DataEdit
from tui.data.file import CHANGED_EVERY_S, DataFile
from tui.data.row_frame import RowFrame
from tui.data.rows import columns
from tui.data.templating import DataTemplate
from tui.data.writing import DataOut
from tui.widgets.frame import Frame
from tui.widgets.row_list import RowList
from tui.widgets.strip import FigureStrip

NEED_ROWS = ("search", "copy", "tokens", "next_problem", "previous_problem", "filter", "sort",
             "goto", "mark", "statistics", "checks")  # fmt: skip
NEED_WORKER = ("search", "filter", "sort", "next_problem", "previous_problem", "statistics",
               "checks")  # fmt: skip


class DataPane(DataEdit, DataOut, DataTemplate, DataFile):
    """What is trained on, row by row."""

    DEFAULT_CSS = Path(__file__).with_suffix(".tcss").read_text(encoding="utf-8")
    SCOPED_CSS = False
    scope = "data"
    BINDINGS = bindings("data")
    first_focus = "#rows"

    def compose(self) -> ComposeResult:
        with Container(id="body"):
            with Frame("data", id="rows-frame"):
                yield RowList(columns(60), self.rows, open_label="row", id="rows")
            yield RowFrame(id="row-frame")
        yield FigureStrip()

    def on_mount(self) -> None:
        self._look_again = self.set_interval(
            CHANGED_EVERY_S, self.notice_change, pause=not self.display
        )
        self.open_file()

    def on_unmount(self) -> None:
        self.dataset.close()

    def on_pane_shown(self) -> None:
        if self.is_mounted:
            self._look_again.resume()
            self.notice_change()

    def on_pane_hidden(self) -> None:
        self._look_again.pause()

    def on_config_changed(self, config: Config) -> None:
        self.adapt()

    def on_resize(self) -> None:
        self.fit_columns()
        if self.row_in_sight and not self.row.number:
            self.show_here()
        self.call_after_refresh(self.draw_facts)

    # the row under the cursor

    def on_row_list_moved(self) -> None:
        self.moved()
        if self.hits is not None:
            self.draw_facts()

    def on_row_list_opened(self) -> None:
        self.add_class("-row")
        self.show_here()
        self.row.view.focus()

    def action_back(self) -> None:
        """One step back: from the row, from what goes on, from the search, from the filter."""
        if self.has_class("-row") or self.row.view.has_focus:
            self.remove_class("-row")
            self.table.focus()
        elif self.state.reading is not None:
            self.stop_reading()
        elif self.hits is not None:
            self.end_search()
        elif self.wish:
            self.wish = type(self.wish)()
            self.look_again()

    # keys

    def footer_actions(self) -> list[Action]:
        actions = super().footer_actions()
        label = self._back_label()
        if not label:
            return actions
        back = next(action for action in of_scope("data") if action.id == "back")
        return [back._replace(label=label), *actions]

    def _back_label(self) -> str:
        """What esc does now, where it does something."""
        if self.has_class("-row") and not self.wide:
            return "back"
        if self.state.reading is not None:
            return "stop reading"
        if self.hits is not None:
            return "end search"
        return "all rows" if self.wish else ""

    def why_not(self, action: str) -> str:
        if action in NEED_ROWS and not self.rows.total:
            return "No rows are open."
        if action in NEED_WORKER and not self.state.opened:
            return self.state.trouble or "The rows are still being read."
        if action in ("next_match", "previous_match") and self.hits is None:
            return "Nothing was searched for yet: / does."
        if action == "tokens" and not self.rows.encodable:
            return self.state.trouble or "The rows are not encoded yet."
        if action in ("marked", "unmark") and not self.rows.marked:
            return "No row is marked: space marks one."
        return super().why_not(action)

    def action_copy(self) -> None:
        source, here = self.rows.source, self.here
        assert source is not None and here is not None
        self.afina.copy(source.raw(here).decode("utf-8", "replace"))
