"""The statistics of all rows; enter on a max_length makes it that of the configuration."""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult

from core.config import Config
from core.figures import duration
from tui.data.state import FileState
from tui.data.stats_text import COLUMNS, Lengths, figures
from tui.dialogs.dialog import Dialog
from tui.widgets.footer import Footer
from tui.widgets.frame import Frame, Words
from tui.widgets.row_list import RowList


class Statistics(Dialog[int]):
    """Dismissed with a max_length. `take` and `refuse` get the worker's answer when it comes.

    It may come before the dialog has its parts: it is kept until they are there.
    """

    CSS = """
    Statistics > Frame { width: 96%; max-width: 104; height: 92%; max-height: 40; }
    Statistics Words { margin: 0 0 1 0; }
    """

    def __init__(self, config: Config, state: FileState) -> None:
        super().__init__()
        self._config = config
        self._state = state
        self._stats: dict[str, Any] = {}
        self._refused = ""
        self._stands = False  # is_mounted comes later: what is told in between would be lost

    def compose(self) -> ComposeResult:
        with Frame("statistics", self._facts()):
            yield Words("Counting.", id="figures")
            yield RowList(COLUMNS, open_label="use this max_length")
        yield Footer()

    def on_mount(self) -> None:
        self._stands = True
        self._show()

    def on_unmount(self) -> None:
        self._stands = False  # what comes now comes too late

    def take(self, answer: dict[str, Any]) -> None:
        """Shows the worker's answer to `statistics`."""
        if answer["kind"] == "done":
            self._stats = answer
            self._show()

    def refuse(self, answer: dict[str, Any]) -> None:
        """Says why there are none."""
        self._refused = f"{answer['message']} {answer['hint']}".strip()
        self._show()

    def _show(self) -> None:
        if not self._stands:
            return
        if self._refused:
            self.query_one("#figures", Words).update(self._refused)
        if not self._stats:
            return
        answer, tokens = self._stats, self._stats["tokens"]
        rows = tokens["rows"] - tokens["empty"] if tokens else 0
        lengths = Lengths(answer["lengths"], rows, self._config)
        now = [row["max_length"] for row in lengths]
        here = self._config.data.max_length
        self.query_one(RowList).set_rows(lengths, now.index(here) if here in now else 0)
        self.query_one(Frame).set_facts(self._facts())
        self.call_after_refresh(self._draw)  # the words have their width once all is laid out

    def _draw(self) -> None:
        if self._stats and self._stands:
            width = self.query_one("#figures").size.width
            self.query_one("#figures", Words).update(
                figures(self._stats, width, self.afina.symbols)
            )

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def _facts(self) -> str:
        """How far the figures reach."""
        state = self._state
        if not state.surveyed:
            return f"so far: {state.progress()}" if state.progress() else ""
        if state.survey["cached"]:
            return "steps of one epoch, from the cache"
        return f"steps of one epoch, all rows counted in {duration(state.survey['seconds'])}"

    def on_row_list_opened(self, event: RowList.Opened) -> None:
        rows = event.row_list.rows
        assert isinstance(rows, Lengths)
        self.dismiss(rows[event.index]["max_length"])
