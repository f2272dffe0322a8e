"""The Data pane: the rows of a file, one of them as the model sees it, and the token statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textual.app import ComposeResult
from textual.containers import Container

from core.config import Config
from core.data.files.source import Source
from core.data.recipe import Recipe
from tui.actions import Action, bindings, of_scope
from tui.data_facts import DataFacts
from tui.data_files import SUFFIXES, offers
from tui.data_rows import DataRows, columns, messages_of
from tui.data_search import Found, Search
from tui.data_words import rows_facts, stat_figures
from tui.dataset import Dataset
from tui.messages import DataNews
from tui.screens.data_row import RowFrame
from tui.screens.dialogs.line import Line
from tui.screens.dialogs.path import PathDialog
from tui.screens.pane import Pane
from tui.theme import RED, YELLOW
from tui.widgets.frame import Frame
from tui.widgets.row_list import RowList
from tui.widgets.strip import Figure, FigureStrip
from tui.widgets.token_view import ShownRow

FACTS_DELAY_S = 0.03  # so that a burst of rows becomes one request
CHANGED_EVERY_S = 2.0  # looks at the file's size and time, while the pane is in sight


class DataPane(Pane):
    """What is trained on, row by row."""

    DEFAULT_CSS = Path(__file__).with_suffix(".tcss").read_text(encoding="utf-8")
    SCOPED_CSS = False
    scope = "data"
    BINDINGS = bindings("data")
    first_focus = "#rows"

    def __init__(self, **options) -> None:  # noqa: ANN003
        super().__init__(**options)
        self._dataset = Dataset(self.post_message)
        self._search = Search(self.post_message)
        self._rows = DataRows(None, self._miss)
        self._missing: set[int] = set()
        self._path: Path | None = None
        self._words = ""  # searched for
        self._progress = "opening"  # of the index, then of the checks; empty when all is known
        self._trouble = ""  # why the file can't be read, or its rows not be encoded
        self._stats: dict[str, Any] = {}
        self._return_to = 0  # row for the cursor, once the file has been read anew

    def compose(self) -> ComposeResult:
        with Container(id="body"):
            with Frame("data", id="rows-frame"):
                yield RowList(columns(60), self._rows, open_label="row", id="rows")
            yield RowFrame(id="row-frame")
        yield FigureStrip()

    def on_mount(self) -> None:
        self._recipe = Recipe.of(self.config)
        self._look_again = self.set_interval(
            CHANGED_EVERY_S, self._notice_change, pause=not self.display
        )
        self._open_path()

    def on_unmount(self) -> None:
        self._search.stop()
        self._dataset.close()

    def on_pane_shown(self) -> None:
        if self.is_mounted:
            self._look_again.resume()
            self._notice_change()

    def on_pane_hidden(self) -> None:
        self._look_again.pause()

    @property
    def _list(self) -> RowList:
        return self.query_one("#rows", RowList)

    @property
    def _row(self) -> RowFrame:
        return self.query_one(RowFrame)

    # opening

    def open_subject(self, subject: str) -> None:
        self.afina.open_data(subject)

    def on_config_changed(self, config: Config) -> None:
        recipe = Recipe.of(config)
        if config.data.path and Path(config.data.path) != self._path:
            self._recipe = recipe
            self._open_path()
        elif recipe != self._recipe:
            self._recipe = recipe
            self._encode_again()
        else:
            self._draw_figures()

    def _open_path(self) -> None:
        given = self.config.data.path
        self._path = Path(given) if given else None
        self._rows = DataRows(None, self._miss)
        self._row.clear()
        self._list.set_rows(self._rows)
        self._forget()
        self.query_one("#rows-frame", Frame).set_title(self._path.name if self._path else "data")
        if self._path is None:
            self._progress = ""
            self._refuse("No data file is open.", "Press o to open one.")
        else:
            self._progress = "opening"
            self._dataset.open(self._path.expanduser(), self._recipe)
        self._draw_facts()

    def _notice_change(self) -> None:
        """Reads a file anew that another program has written, with the cursor where it was."""
        source = self._rows.source
        if source is not None and source.indexed and source.changed():
            self._return_to = self._list.cursor
            self._open_path()
            self.afina.say("The file has changed and was read anew.")

    def _encode_again(self) -> None:
        """The same rows under other settings: what was known of their tokens is void."""
        if self._path is None or self._rows.source is None:
            self._open_path()
            return
        self._forget()
        self._rows.forget_facts()
        self._dataset.encode(self._path.expanduser(), self._recipe)
        self._list.refresh()
        self._show_cursor_row()

    def _forget(self) -> None:
        self._missing.clear()
        self._stats = {}
        self._trouble = ""
        self._draw_figures()

    # news of the file

    def on_data_news(self, news: DataNews) -> None:
        if news.generation == self._dataset.generation:
            getattr(self, f"_take_{news.topic}")(**news.fields)

    def _take_indexed(self, source: Source, whole: bool) -> None:
        first = self._rows.source is None
        if first:
            self._rows.source = source
        if whole or not self._row.number:
            self._rows.guess_shape()
        self._list.rows_changed()
        self._fit_columns()
        if whole and self._return_to:
            self._list.go(self._return_to)
            self._return_to = 0
        elif not self._row.number:
            self._show_cursor_row()
        self._progress = "" if whole else "reading"
        self._tell()
        self._draw_facts()

    def _take_refused(self, message: str, hint: str) -> None:
        self._progress = ""
        self._refuse(message, hint)

    def _tell(self) -> None:
        facts = DataFacts(self.config.data.path, len(self._rows), self._rows.shape, self._stats)
        self.afina.set_data_facts(facts)

    def _take_opened(self, shape: str, refusal: dict[str, str] | None, **_: Any) -> None:
        self._rows.set_shape(shape)
        if refusal:
            self._refuse(refusal["message"], refusal["hint"])
            return
        self._rows.encodable = True
        self._progress = "checking"
        self._list.refresh()
        self._show_cursor_row()
        self._draw_facts()

    def _take_facts(self, facts: list[dict[str, Any]], **_: Any) -> None:
        self._rows.add_facts(facts)
        self._list.refresh()

    def _take_shown(self, index: int, **fields: Any) -> None:
        if index != self._list.cursor or self._rows.source is None:
            return
        known = {problem["check"] for problem in fields["problems"]}
        others = [p for p in self._rows.problems(index) if p["check"] not in known]
        kept = {name: fields[name] for name in ShownRow._fields if name in fields}
        kept["problems"] = [*fields["problems"], *others]
        turns = messages_of(self._rows.source.row(index), self._rows.shape)
        self._row.show_row(index + 1, ShownRow(turns, **kept))

    def _take_stats(self, **stats: Any) -> None:
        self._stats = stats
        self._draw_figures()
        self._tell()

    def _take_problems(self, problems: list[dict[str, Any]], done: int, total: int, **_: Any):  # noqa: ANN202
        self._rows.add_problems(problems)
        self._progress = f"checked {done * 100 // total}%" if done < total else ""
        self._draw_facts()
        self._list.refresh()

    def _take_checked(self, **_: Any) -> None:
        self._progress = ""
        self._draw_facts()
        if self._rows.problems(self._list.cursor):
            self._show_cursor_row()

    def _take_trouble(self, message: str, hint: str, **_: Any) -> None:
        self._refuse(message, hint)

    def _refuse(self, message: str, hint: str) -> None:
        self._trouble = f"{message} {hint}".strip()
        self._rows.encodable = False
        self._progress = ""
        self._draw_figures()
        self._draw_facts()
        self._show_cursor_row()

    # facts for the rows that are drawn

    def _miss(self, index: int) -> None:
        if not self._missing:
            self.set_timer(FACTS_DELAY_S, self._ask_facts)
        self._missing.add(index)

    def _ask_facts(self) -> None:
        """Asks for the rows that are still in sight; the others were passed on the way."""
        top = self._list.scroll_offset.y
        rows = range(top, top + self._list.size.height)
        wanted = [row for row in sorted(self._missing) if row in rows]
        self._missing.clear()
        if wanted:
            self._dataset.want(wanted)

    # the row under the cursor

    def on_row_list_moved(self) -> None:
        self._show_cursor_row()

    def _show_cursor_row(self) -> None:
        index = self._list.cursor
        source = self._rows.source
        if source is None or index >= len(source):
            self._row.clear()
            return
        if self._rows.encodable:
            self._dataset.show(index)
            return
        row = source.row(index)
        raw = source.raw(index).decode("utf-8", "replace")
        problems = self._rows.problems(index)
        turns = messages_of(row, self._rows.shape)
        self._row.show_row(index + 1, ShownRow(turns, raw, problems=problems, note=self._trouble))

    def on_row_list_opened(self) -> None:
        self.add_class("-row")
        self._row.view.focus()

    def action_back(self) -> None:
        self.remove_class("-row")
        self._list.focus()

    # words and figures

    def _draw_facts(self) -> None:
        facts = rows_facts(self._rows, self._progress, self.symbols.dot)
        self.query_one("#rows-frame", Frame).set_facts(facts)
        self.afina.refresh_footer()

    def _draw_figures(self) -> None:
        strip = self.query_one(FigureStrip)
        if self._trouble:
            colour = YELLOW if self._rows.source else RED
            strip.figures = (Figure("", f"{self.symbols.problem} {self._trouble}", colour),)
        else:
            strip.figures = stat_figures(self._stats, self.config, self.symbols.bars)

    def on_resize(self) -> None:
        self._fit_columns()

    def _fit_columns(self) -> None:
        width = self.size.width // 2 if self.wide else self.size.width
        self._list.set_columns(columns(width - 4, len(self._rows)))

    # actions

    def footer_actions(self) -> list[Action]:
        actions = super().footer_actions()
        if self.has_class("-row") and not self.wide:
            return [action for action in of_scope("data") if action.id == "back"] + actions
        return actions

    def why_not(self, action: str) -> str:
        rows = len(self._rows)
        if action in ("search", "copy", "tokens", "next_problem", "previous_problem") and not rows:
            return "No rows are open."
        if action in ("next_match", "previous_match") and not self._words:
            return "Nothing was searched for yet: / does."
        if action == "tokens" and not self._rows.encodable:
            return self._trouble or "The rows are not encoded yet."
        if action in ("next_problem", "previous_problem") and not self._rows.encodable:
            return self._trouble or "The rows are not checked yet."
        return ""

    def action_open_file(self) -> None:
        def opened(path: Path | None) -> None:
            if path is not None:
                self.afina.open_data(str(path))
                self._notice_change()

        offered = offers(self.afina.session.recent)
        self.app.push_screen(PathDialog("open data", SUFFIXES, offered), opened)

    def action_search(self) -> None:
        def search(words: str | None) -> None:
            if words:
                self._words = words
                self._look(1, from_here=True)

        self.app.push_screen(Line("search", self._words, "enter looks, esc leaves"), search)

    def action_next_match(self) -> None:
        self._look(1)

    def action_previous_match(self) -> None:
        self._look(-1)

    def _look(self, step: int, from_here: bool = False) -> None:
        assert self._rows.source is not None
        start = self._list.cursor - step if from_here else self._list.cursor
        self._search.start(self._rows.source, self._words, start, step)

    def on_found(self, found: Found) -> None:
        if found.index is None:
            self.afina.say(f'No row has "{found.words}".', "warning")
            return
        self._row.view.mark(found.words)
        self._list.go(found.index)
        if found.wrapped:
            self.afina.say("The search went round the end of the file.")

    def action_next_problem(self) -> None:
        self._go_problem(self._rows.next_problem(self._list.cursor), "after")

    def action_previous_problem(self) -> None:
        self._go_problem(self._rows.previous_problem(self._list.cursor), "before")

    def _go_problem(self, index: int | None, where: str) -> None:
        if index is not None:
            self._list.go(index)
        else:
            so_far = f", {self._progress} so far" if self._progress else ""
            self.afina.say(f"No row {where} this one has a problem{so_far}.")

    def action_next_row(self) -> None:
        self._list.action_down()

    def action_previous_row(self) -> None:
        self._list.action_up()

    def action_tokens(self) -> None:
        self._row.view.set_boundaries(not self._row.view.boundaries)

    def action_copy(self) -> None:
        assert self._rows.source is not None
        self.afina.copy(self._rows.source.raw(self._list.cursor).decode("utf-8", "replace"))
