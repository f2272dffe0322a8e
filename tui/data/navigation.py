"""Moving through the rows of the Data pane: search, filter, sort, jumps, problems, marks."""

from __future__ import annotations

from pathlib import Path

from core.data.escape import visible
from tui.data.base import DataBase
from tui.data.dataset import Answer, Newest
from tui.data.dialogs.goto import GotoDialog
from tui.data.dialogs.search import SearchLine
from tui.data.dialogs.sort import Sort, SortDialog
from tui.data.search import REGEX, Search, read_search
from tui.data.view import Hits, View, Wish
from tui.widgets.frame import Frame


class DataLook(DataBase):
    """What shows other rows, or goes to one."""

    def __init__(self, **options) -> None:  # noqa: ANN003
        super().__init__(**options)
        self._search: Search | None = None
        self._view: View | None = None  # that grows until the worker has seen all rows
        self._viewing: int | None = None  # the request for the view, while it is at work
        self._hitting: int | None = None  # the request for the hits
        self._step = 0  # to the hit that is waited for: 1, -1, 0 none
        self._from = 0  # the position it is looked for from
        self._seek = Newest(self._ask_seek)

    def _forget_requests(self) -> None:
        super()._forget_requests()
        self._seek.reset()
        self._viewing = self._hitting = None
        self._step = 0

    # the rows that are shown

    def look_again(self) -> None:
        """Asks for the wished rows and the hits anew: a wish is another, or the rows are."""
        self.dataset.cancel(self._viewing)
        self._viewing = None
        if self.wish:
            self._view = View(ordered=not self.wish.sort)
            fields = self.wish.fields(self.rows.marked)
            self._viewing = self.ask("view", self._take_view, self._take_no_view, **fields)
        else:
            self._view = None
            self._show_rows(None)
        if self._search is not None:
            self._ask_hits()
        self.draw_title()
        self.fit_columns()
        self.draw_facts()

    def _take_view(self, answer: Answer) -> None:
        view = self._view
        if view is None or not answer.get("file"):
            return
        whole = answer["kind"] == "done"
        if whole:
            self._viewing = None
        view.grow(Path(answer["file"]), answer["count"])
        if self.rows.view is not view:
            if whole or len(view):
                self._show_rows(view)
        else:
            self.table.rows_changed()
        self.draw_facts()
        if whole and not len(view):
            self.afina.say("No row is like that.", "warning")

    def _take_no_view(self, answer: Answer) -> None:
        self._viewing = None
        self.say_error(answer)
        self.wish = Wish()
        self.look_again()

    def _show_rows(self, view: View | None) -> None:
        """Shows other rows: sorted ones from their top, else with the cursor where it was."""
        if self.rows.view is view:
            return
        here = self.here
        old, self.rows.view = self.rows.view, view
        if old is not None:
            old.close()
        position = 0
        if here is not None and (view is None or view.ordered):
            position = here if view is None else view.nearest(here)
        self.table.set_rows(self.rows, position)

    def action_filter(self) -> None:
        from tui.data.dialogs.filter import FilterDialog

        def filter_by(text: str | None) -> None:
            if text is not None:
                self.show_only(text)

        self.app.push_screen(FilterDialog(self.wish.filter, list(self.state.counts)), filter_by)

    def show_only(self, text: str) -> None:
        """Shows the rows that an expression is true of; an empty one shows all."""
        self.wish = self.wish._replace(filter=text.strip())
        self.look_again()

    def action_sort(self) -> None:
        def sort(chosen: Sort | None) -> None:
            if chosen is not None:
                self.wish = self.wish._replace(sort=chosen.fact, descending=chosen.descending)
                self.look_again()

        now = Sort(self.wish.sort, self.wish.descending)
        self.app.push_screen(SortDialog(now), sort)

    # marks

    def action_mark(self) -> None:
        here = self.here
        if here is None:
            return
        self.rows.marked.symmetric_difference_update({here})
        self.table.action_down()
        self.table.refresh()
        self.draw_facts()

    def action_marked(self) -> None:
        self.wish = self.wish._replace(marked=not self.wish.marked)
        self.look_again()

    def action_unmark(self) -> None:
        self.rows.marked.clear()
        if self.wish.marked:
            self.action_marked()
        self.table.refresh()
        self.draw_facts()

    # search

    def action_search(self) -> None:
        def search(text: str | None) -> None:
            if text:
                self.search(text)

        before = self._search
        words = (REGEX if before.regex else "") + before.words if before else ""
        self.app.push_screen(SearchLine(words), search)

    def search(self, text: str) -> None:
        """Looks for words in all rows; goes to the first at or after the cursor."""
        self._search = read_search(text)
        self.table.mark_words(self._search.pattern)
        self.row.mark(self._search.pattern)
        self._step, self._from = 1, self.table.cursor
        self._ask_hits()
        self.draw_facts()

    def _ask_hits(self) -> None:
        search = self._search
        assert search is not None
        self.dataset.cancel(self._hitting)
        if self.hits is not None:
            self.hits.view.close()
        self.hits = Hits(View(ordered=not self.wish.sort))
        fields = self.wish.fields(self.rows.marked)
        fields |= {"search": search.words, "regex": search.regex}
        self._hitting = self.ask("view", self._take_hits, self._take_no_hits, **fields)

    def _take_hits(self, answer: Answer) -> None:
        hits = self.hits
        if hits is None or not answer.get("file"):
            return
        hits.view.grow(Path(answer["file"]), answer["count"])
        hits.whole = answer["kind"] == "done"
        if hits.whole:
            self._hitting = None
        if self._step:
            self._go_hit()
        self.draw_facts()

    def _take_no_hits(self, answer: Answer) -> None:
        self.end_search()
        self.say_error(answer)

    def end_search(self) -> None:
        """Forgets the hits and their marks."""
        self.dataset.cancel(self._hitting)
        self._hitting, self._search, self._step = None, None, 0
        if self.hits is not None:
            self.hits.view.close()
            self.hits = None
        self.table.mark_words(None)
        self.row.mark("")
        self.draw_facts()

    def _go_hit(self) -> None:
        """To the hit that is waited for, if it has been found; round the end when all are."""
        hits, shown = self.hits, self.rows.view
        assert hits is not None
        find = hits.next if self._step > 0 else hits.previous
        position, wrapped = find(self._from, shown), False
        if position is None and hits.whole and len(hits):
            position = find(0 if self._step > 0 else len(self.rows), shown)
            wrapped = True
        if position is not None and position < len(self.rows):
            self._step = 0
            self.table.go(position)
            if wrapped:
                self.afina.say("The search went round the end of the rows.")
        elif hits.whole:
            self._step = 0
            words = self._search.words if self._search else ""
            self.afina.say(f'No row has "{words}".', "warning")

    def action_next_match(self) -> None:
        self._step, self._from = 1, self.table.cursor + 1
        self._go_hit()

    def action_previous_match(self) -> None:
        self._step, self._from = -1, self.table.cursor
        self._go_hit()

    def hits_words(self) -> str:
        hits = self.hits
        if hits is None:
            return ""
        found = f"{len(hits):,} hit{'' if len(hits) == 1 else 's'}"
        if not hits.whole:
            found += self.symbols.ellipsis
        ordinal = None if self.here is None or not len(hits) else hits.ordinal(self.here)
        return f"{ordinal:,} of {found}" if ordinal else found

    # jumps

    def action_goto(self) -> None:
        def go(number: int | None) -> None:
            if number is not None:
                self.go_row(number - 1)

        self.app.push_screen(GotoDialog(self.rows.total), go)

    def go_row(self, index: int) -> None:
        """To a row of the file; where a filter hides it, to the next that is shown."""
        place = self.rows.position_of(index)
        if place is None and self.rows.view is not None:
            if self.rows.view.ordered:
                place = self.rows.view.nearest(index)
            self.afina.say(f"Row {index + 1:,} is not among the rows that are shown.", "warning")
        if place is not None:
            self.table.go(place)

    def action_next_problem(self) -> None:
        self._seek.want(1)

    def action_previous_problem(self) -> None:
        self._seek.want(-1)

    def _ask_seek(self, step: int) -> None:
        here = self.here
        if here is None:
            self._seek.done()
            return
        fields = {"view": str(self.rows.view.path)} if self.rows.view is not None else {}
        self._sought = step
        self.ask("seek", self._take_seek, self._take_no_seek, row=here, step=step, **fields)

    def _take_seek(self, answer: Answer) -> None:
        found = answer["row"]
        position = None if found is None else self.rows.position_of(found)
        if position is not None:
            self.table.go(position)
        else:
            progress = self.state.progress()
            so_far = f" ({progress} so far)" if progress else ""
            where = "after" if self._sought > 0 else "before"
            self.afina.say(f"No row {where} this one has a problem{so_far}.")
        self._seek.done()

    def _take_no_seek(self, answer: Answer) -> None:
        self._seek.reset()
        self.say_error(answer)

    def action_next_row(self) -> None:
        self.table.action_down()

    def action_previous_row(self) -> None:
        self.table.action_up()

    # words

    def draw_title(self) -> None:
        """The file's name, and behind it which of its rows are shown in which order."""
        parts = [self.state.name or "data"]
        if self.wish.marked:
            parts.append("marked")
        if self.wish.filter:
            parts.append(self.wish.filter)
        if self.wish.sort:
            parts.append(f"by {self.wish.sort} {self.symbols.order[self.wish.descending]}")
        title = visible(f" {self.symbols.dot} ".join(parts), newlines=False)
        self.query_one("#rows-frame", Frame).set_title(title)
