"""The frame with one row of the data in it: its tokens, its figures, its problems."""

from __future__ import annotations

from textual.app import ComposeResult

from tui.data_words import row_facts
from tui.widgets.frame import Frame
from tui.widgets.token_view import ShownRow, TokenView


class RowFrame(Frame):
    """Shows a row by its number; the same row drawn anew stays where it was scrolled to."""

    def __init__(self, **options) -> None:  # noqa: ANN003
        super().__init__("row", **options)
        self.number = 0  # of the row that is shown, from 1; 0: none yet

    def compose(self) -> ComposeResult:
        yield TokenView(id="row")

    @property
    def view(self) -> TokenView:
        return self.query_one(TokenView)

    def clear(self) -> None:
        """Shows no row."""
        self.number = 0
        self.set_title("row")
        self.set_facts("")
        self.view.show_row(ShownRow(()))

    def show_row(self, number: int, row: ShownRow) -> None:
        stay = number == self.number
        self.number = number
        self.set_title(f"row {number:,}")
        self.set_facts(row_facts(row, self.app.symbols.dot))  # type: ignore[attr-defined]
        self.view.show_row(row, stay)
