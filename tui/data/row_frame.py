"""The frame with one row of the data in it: its tokens, its figures, its problems."""

from __future__ import annotations

import os
import re
from collections.abc import Collection

from textual.app import ComposeResult
from textual.containers import Horizontal

from tui.data.row_views import SIDES, Look, draw_row
from tui.data.text import row_facts
from tui.data.tokens import ShownRow, token_facts
from tui.theme import SECONDARY, Symbols
from tui.widgets.frame import Frame
from tui.widgets.token_view import TokenView

BOTH_CELLS = 72  # of the frame, from which both answers of a preference stand side by side


class RowFrame(Frame):
    """Shows a row by its number; the same row drawn anew stays where it was scrolled to."""

    DEFAULT_CSS = """
    RowFrame #other { border-left: solid $frame; padding-left: 1; margin-left: 1; }
    .-ascii RowFrame #other { border-left: ascii $frame; }
    """

    def __init__(self, **options) -> None:  # noqa: ANN003
        super().__init__("row", **options)
        self.number = 0  # of the row that is shown, from 1; 0: none yet
        self.shown = ShownRow(())
        self.look = Look()
        self.edited: Collection[int] = ()  # rows with an edit that is not written yet, from 0
        self.dropped: Collection[int] = ()
        self.template = ""  # its name, where it is not the model's own
        self._side = 0  # where there is room for one answer only
        self._arriving = 0  # 1 or -1: the cursor is to go to the row's first or last problem

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield TokenView(id="row")
            yield TokenView(id="other")

    def on_mount(self) -> None:
        self._other.display = False

    @property
    def view(self) -> TokenView:
        """What gets the focus."""
        return self.query_one("#row", TokenView)

    @property
    def _other(self) -> TokenView:
        return self.query_one("#other", TokenView)

    @property
    def _symbols(self) -> Symbols:
        return self.app.symbols  # type: ignore[attr-defined]

    @property
    def both(self) -> bool:
        """Whether two answers stand side by side."""
        room = self.size.width >= BOTH_CELLS
        return room and self.shown.rejected is not None and self.look.mode != "json"

    def clear(self) -> None:
        """Shows no row."""
        self.number = 0
        self.shown = ShownRow(())
        self._draw(stay=False)

    def show_row(self, number: int, row: ShownRow) -> None:
        stay = number == self.number
        self.number, self.shown = number, row
        if row.rejected is None:
            self._side = 0
        self._draw(stay)
        if self._arriving and self.view.problems:
            self.view.point(self.view.problems[0 if self._arriving > 0 else -1])
        self._arriving = 0

    def arrive(self, step: int) -> None:
        """The next row is shown with the cursor on its first problem, or its last (-1)."""
        self._arriving = step

    def mark(self, words: str | re.Pattern[str]) -> None:
        """Marks words wherever they occur."""
        self.view.mark(words)
        self._other.mark(words)

    def on_resize(self) -> None:
        if self._other.display != self.both:
            self._draw(stay=True)

    # how the row is drawn

    def toggle_tokens(self) -> None:
        """All that the model sees, or the turns."""
        mode = "turns" if self.look.mode == "tokens" else "tokens"
        self._look(self.look._replace(mode=mode))

    def toggle_ids(self) -> None:
        """Each token with its id, or without."""
        if self.look.mode == "tokens":
            self._look(self.look._replace(ids=not self.look.ids))
        else:
            self._look(self.look._replace(mode="tokens", ids=True))

    def toggle_boundaries(self) -> None:
        """Tokens apart, or the text as it runs."""
        tokens = self.look.mode == "tokens"
        apart = not (self.look.apart or self.look.ids) if tokens else True
        self._look(self.look._replace(mode="tokens", apart=apart, ids=False))

    def toggle_json(self) -> None:
        """The row as the file has it, or as the model sees it."""
        mode = "turns" if self.look.mode == "json" else "json"
        self._look(self.look._replace(mode=mode))

    def switch_side(self) -> None:
        """To the other answer of a preference."""
        if self.both:
            (self.view if self._other.has_focus else self._other).focus()
        else:
            self._side = 1 - self._side
            self._draw(stay=True)

    def _look(self, look: Look) -> None:
        self.look = look
        self._draw(stay=True)

    def _draw(self, stay: bool) -> None:
        # without colours a shade may be too faint, so lines part the tokens there
        plain = not self._symbols.subscripts or "NO_COLOR" in os.environ
        look = self.look._replace(separators=plain)
        if look.mode == "turns" and self.shown.encoded and not self.shown.turns:
            look = look._replace(mode="tokens", ids=True)  # it came as ids
        both = self.both
        if self._other.display and not both and self._other.has_focus:
            self.view.focus()
        self._other.display = both
        sides = ((self.view, 0), (self._other, 1)) if both else ((self.view, self._side),)
        for view, side in sides:
            drawing = draw_row(self.shown, look, self._symbols, side)
            tokens = (p.get("token") for p in self.shown.problems_of(side))
            last = len(self.shown.sides[side].ids) - 1
            problems = sorted({min(t, last) for t in tokens if t is not None and last >= 0})
            view.set_drawing(drawing, problems, stay)
        self.draw_words()

    # words

    def on_token_view_pointed(self) -> None:
        self.draw_words()

    def draw_words(self) -> None:
        """The title, and below the row's figures or, with the focus, those of a token."""
        if not self.number:
            self.set_title("row")
            self.set_facts("")
            return
        self.set_title(f" {self._symbols.dot} ".join(self._title()))
        dot = self._symbols.dot
        view = self._other if self._other.has_focus else self.view
        side = 1 if self._other.has_focus else self._side
        tokens = self.shown.sides[side]
        if view.has_focus and view.cursor is not None and view.cursor < len(tokens.ids):
            self.set_facts(token_facts(tokens, view.cursor, dot))
        else:
            facts = row_facts(self.shown, dot)
            if self.template and self.shown.encoded:
                facts.append(f" {dot} ", SECONDARY).append(f"{self.template} template")
            self.set_facts(facts)

    def _title(self) -> list[str]:
        parts = [f"row {self.number:,}"]
        if self.number - 1 in self.dropped:
            parts.append("dropped")
        elif self.number - 1 in self.edited:
            parts.append("edited")
        if self.look.mode != "turns":
            parts.append("JSON" if self.look.mode == "json" else "tokens")
        elif self.shown.rejected is not None and not self.both:
            parts.append(SIDES[self._side])
        return parts
