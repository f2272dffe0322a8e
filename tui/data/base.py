"""What the parts of the Data pane share: the open file, the list of its rows, the row in sight."""

from __future__ import annotations

import json
import time
from typing import Any

from textual.timer import Timer

from core.data.files.source import Row, looks_like_data
from core.data.recipe import Recipe
from tui.data.dataset import Answer, Dataset, Newest, Subject, Take
from tui.data.messages import DataNews
from tui.data.row_frame import RowFrame
from tui.data.rows import EXTRA, DataRows, Order, columns, messages_of
from tui.data.state import FileState
from tui.data.text import rows_facts, stat_figures
from tui.data.tokens import ShownRow
from tui.data.view import Hits, Wish
from tui.pane import Pane
from tui.theme import RED, YELLOW
from tui.widgets.frame import Frame
from tui.widgets.row_list import RowList
from tui.widgets.strip import Figure, FigureStrip

FACTS_DELAY_S = 0.04  # without new rows on the screen, before the facts of those are asked for
FACTS_LATE_S = 0.2  # facts come this often too while pages fly by
MOVING_S = 0.12  # moves that follow each other so quickly show a row only at their end
FRAME_CELLS = 8  # of the frame's lower line, for its corners


class DataBase(Pane):
    """The state of the pane, asking the data worker, drawing. Rows are indexes from 0."""

    def __init__(self, **options) -> None:  # noqa: ANN003
        super().__init__(**options)
        self.dataset = Dataset(self.post_message)
        self.rows = DataRows(None, self._miss)
        self.state = FileState()  # what is known of the file as a whole
        self.wish = Wish()  # which rows the list shows
        self.hits: Hits | None = None  # of a search
        self._missing: set[int] = set()
        self._missing_since = 0.0
        self._facts_timer: Timer | None = None
        self._moved_at = 0.0
        self._show_timer: Timer | None = None
        self._wanted = Newest(self._ask_facts)
        self._shown = Newest(self._ask_show)

    @property
    def table(self) -> RowList:
        return self.query_one("#rows", RowList)

    @property
    def row(self) -> RowFrame:
        return self.query_one(RowFrame)

    @property
    def row_in_sight(self) -> bool:
        """Whether the row stands beside the list, or instead of it on a small screen."""
        return self.wide or self.has_class("-row")

    @property
    def here(self) -> int | None:
        """The row under the cursor."""
        position = self.table.cursor
        return self.rows.index_of(position) if position < len(self.rows) else None

    @property
    def subject(self) -> Subject:
        """What the current configuration trains on."""
        data = self.config.data
        held = data.eval_path if data.eval_path and not looks_like_data(data.eval_path) else None
        return Subject(data.path, data.mix, Recipe.of(self.config), held)

    # the worker

    def ask(self, op: str, take: Take, refused: Take | None = None, **fields: Any) -> int | None:
        """Asks the data worker; `refused` takes an error {message, hint}, else it is said."""

        def answered(answer: Answer) -> None:
            if answer["kind"] == "died":
                self._died(answer)
            elif answer["kind"] == "error":
                (refused or self.say_error)(answer)
            else:
                take(answer)

        return self.dataset.ask(op, answered, **fields)

    def on_data_news(self, news: DataNews) -> None:
        if news.generation == self.dataset.generation:
            news.take(news.answer)

    def say_error(self, answer: Answer) -> None:
        self.afina.say(f"{answer['message']} {answer['hint']}".strip(), "error")

    def _died(self, answer: Answer) -> None:
        """Starts the worker again, once for each file."""
        if self.state.restarted:
            self.state.forget_tokens()
            self.refuse(answer["message"], "Open the file again (o) to start it once more.")
            return
        self.encode_again()
        self.state.restarted = True
        self.afina.say(f"{answer['message']} It was started again.\n{answer['hint']}", "warning")

    def encode_again(self) -> None:
        """The same rows under other settings: what was known of their tokens is void."""
        self.state.forget_tokens()
        self.rows.forget_facts()
        self._forget_requests()
        self.dataset.encode(self.subject, self.take_opened)
        self.table.refresh()
        self.draw_figures()
        self.draw_facts()

    def take_opened(self, answer: Answer) -> None:
        """The worker has read the file too: the facts can be had."""
        if answer["kind"] == "died":
            self._died(answer)
        elif answer["kind"] == "error":
            self.refuse(answer["message"], answer["hint"])
        elif answer["kind"] == "opened":
            self.state.opened = {**answer, "named": bool(self.subject.recipe.shape)}
            self.rows.template = self.subject.recipe.prompt_template
            self.rows.set_shape(answer["shape"])
            refusal = answer["refusal"]
            if refusal:
                self.refuse(refusal["message"], refusal["hint"])
            self.rows.readable = answer["readable"]
            self.rows.encodable = not refusal
            self.table.refresh()
            self.show_here()
            self.draw_facts()
            held = self.subject.eval_path
            self.ask("survey", self._take_survey, self._take_no_survey, eval_path=held)

    def _take_survey(self, answer: Answer) -> None:
        before, state = self.state.survey.get("phase"), self.state
        state.survey = answer
        state.surveyed = answer["kind"] == "done"
        if state.surveyed or before != answer.get("phase"):
            self.rows.refresh_facts()  # checks that look at all rows have spoken
            self.table.refresh()
            self.show_here()
        self.draw_figures()
        self.draw_facts()
        self.tell()

    def _take_no_survey(self, answer: Answer) -> None:
        self.state.unsurveyed = answer["message"]
        if not self.state.trouble:
            self.refuse(answer["message"], answer["hint"])
        self.draw_facts()

    def refuse(self, message: str, hint: str) -> None:
        """Says in the strip why the file can't be read, or its rows not be encoded."""
        self.state.trouble = f"{message} {hint}".strip()
        self.state.reading = None
        self.rows.readable = self.rows.encodable = False
        self.draw_figures()
        self.draw_facts()
        self.show_here()

    def tell(self) -> None:
        """Tells the other panes what is known of the data."""

    def _forget_requests(self) -> None:
        self._missing.clear()
        self._wanted.reset()
        self._shown.reset()

    # facts for the rows that are drawn

    def _miss(self, index: int) -> None:
        now = time.monotonic()
        if not self._missing:
            self._missing_since = now
        self._missing.add(index)
        if self._facts_timer is None:
            self._facts_timer = self.set_timer(FACTS_DELAY_S, self._want_facts)
        elif now - self._missing_since < FACTS_LATE_S - FACTS_DELAY_S:
            self._facts_timer.reset()

    def _want_facts(self) -> None:
        self._facts_timer = None
        self._wanted.want(True)

    def _ask_facts(self, _: bool) -> None:
        """Asks for the rows that are still in sight; the others were passed on the way."""
        top = self.table.scroll_offset.y
        shown = range(top, min(top + self.table.size.height, len(self.rows)))
        wanted = [row for row in map(self.rows.index_of, shown) if row in self._missing]
        self._missing.clear()
        if wanted:
            self.ask("encode", self._take_facts, self._take_no_facts, rows=wanted)
        else:
            self._wanted.done()

    def _take_facts(self, answer: Answer) -> None:
        self.rows.add_facts(answer["facts"])
        self.table.refresh()
        self._wanted.done()

    def _take_no_facts(self, answer: Answer) -> None:
        self._wanted.reset()
        self.refuse(answer["message"], answer["hint"])

    # the row under the cursor

    def moved(self) -> None:
        """The cursor stands on another row: shows it, at the end of moves that come fast."""
        now, before = time.monotonic(), self._moved_at
        self._moved_at = now
        if self._show_timer is not None:
            self._show_timer.reset()
        elif now - before < MOVING_S:
            self._show_timer = self.set_timer(MOVING_S, self._show_moved)
        else:
            self.show_here()

    def _show_moved(self) -> None:
        self._show_timer = None
        self.show_here()

    def show_here(self) -> None:
        """Shows the row under the cursor, also when it is the one that is shown."""
        index = self.here
        if index is None or not self.row_in_sight:
            self.row.clear()
        elif self.rows.readable:
            self._shown.want(index)
        else:
            self._show_plain(index)

    def _show_plain(self, index: int) -> None:
        """The row without its tokens."""
        source = self.rows.source
        assert source is not None
        raw = source.raw(index).decode("utf-8", "replace")
        turns = messages_of(source.row(index), self.rows.shape, self.rows.template)
        self.row.show_row(index + 1, ShownRow(turns, raw, note=self.state.trouble))

    def _ask_show(self, index: int) -> None:
        self.ask("show", self._take_shown, self._take_not_shown, row=index)

    def _take_shown(self, answer: Answer) -> None:
        index, source = answer["index"], self.rows.source
        if index == self.here and source is not None:
            kept = {name: answer[name] for name in ShownRow._fields if name in answer}
            row = source.row(index)
            if index in self.row.edited:
                row = Row(index, row.line, json.loads(answer["raw"]))
            turns = messages_of(row, self.rows.shape, self.rows.template)
            note = "" if self.rows.encodable else self.state.trouble
            self.row.show_row(index + 1, ShownRow(turns, note=note, **kept))
        self._shown.done()

    def _take_not_shown(self, answer: Answer) -> None:
        self._shown.reset()
        self.say_error(answer)

    def rows_edited(self, indexes: list[int]) -> None:
        """These rows were edited or dropped, or are as in the file again: all is asked anew."""
        self.rows.forget_rows(indexes)
        self.table.refresh()
        self.show_here()

    # drawing

    def draw_facts(self) -> None:
        """Draws what the frame says of the file."""
        frame = self.query_one("#rows-frame", Frame)
        room = frame.size.width - FRAME_CELLS
        facts = rows_facts(self.rows, self.state, self.hits_words(), room, self.symbols.dot)
        frame.set_facts(facts)
        self.afina.refresh_footer()

    def hits_words(self) -> str:
        """ "12 of 3,401 hits", while something is searched for."""
        return ""

    def draw_figures(self) -> None:
        """Draws the strip: the statistics, or what is wrong."""
        strip = self.query_one(FigureStrip)
        if self.state.trouble:
            colour = YELLOW if self.rows.total else RED
            strip.figures = (Figure("", f"{self.symbols.problem} {self.state.trouble}", colour),)
        else:
            strip.figures = stat_figures(self.state.stats, self.config, self.symbols.bars)

    def fit_columns(self) -> None:
        """Draws the columns that the width has room for."""
        width = self.size.width // 2 if self.wide else self.size.width
        order = Order(self.wish.sort, self.wish.descending)
        found = columns(width - 4, self.rows.total, order, self.symbols.order)
        self.rows.extra = self.wish.sort if self.wish.sort in EXTRA else ""
        self.table.set_columns(found)
