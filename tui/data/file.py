"""What the Data pane does with the file as a whole: open it, say what it is, what is in it."""

from __future__ import annotations

import msgspec

from core.data.escape import visible
from tui.data.dataset import Answer, Subject
from tui.data.navigation import DataLook
from tui.data.offers import name_of, offers
from tui.data.rows import DataRows
from tui.data.state import FileState
from tui.data.text import count
from tui.data.view import Wish
from tui.data_facts import DataFacts

CHANGED_EVERY_S = 2.0  # looks at the files' sizes and times, while the pane is in sight


class DataFile(DataLook):
    """Opening and re-opening, and the screens about the whole file."""

    def __init__(self, **options) -> None:  # noqa: ANN003
        super().__init__(**options)
        self._opened: Subject | None = None
        self._return_to = 0  # row for the cursor, once the file has been read anew
        self._looking = False  # at the files on disk

    # opening

    def open_subject(self, subject: str) -> None:
        self.afina.open_data(subject)

    def open_file(self, return_to: int = 0) -> None:
        """Opens what the configuration names."""
        subject = self._opened = self.subject
        self._return_to = return_to
        self.end_search()
        self.wish = Wish()
        old = self.rows.view
        self.rows = DataRows(None, self._miss)
        if old is not None:
            old.close()
        self._forget_requests()
        self.state = FileState(name=name_of(subject))
        self.row.clear()
        self.table.set_rows(self.rows)
        self.draw_title()
        if subject.path:
            self.dataset.open(subject, self._take_indexed, self._take_refused, self.take_opened)
        else:
            self.state.reading = None
            self.refuse("No data file is open.", "Press o to open one.")
        self.draw_figures()
        self.draw_facts()

    def _take_indexed(self, answer: Answer) -> None:
        state, whole = self.state, answer["whole"]
        self.rows.source = answer["source"]
        state.whole = whole
        state.reading = None if whole else answer["done"] / max(1, answer["total"])
        if whole or not self.rows.shape:
            self.rows.template = self.subject.recipe.prompt_template
            self.rows.guess_shape(self.subject.recipe.shape)
        self.table.rows_changed()
        self.fit_columns()
        if self._return_to and self._return_to < self.rows.total:
            self.table.go(self._return_to)
            self._return_to = 0
        elif not self.row.number:
            self.show_here()
        self.tell()
        self.draw_facts()

    def _take_refused(self, answer: Answer) -> None:
        self.refuse(answer["message"], answer["hint"])

    def stop_reading(self) -> None:
        """Ends the indexing; the rows that were found stay."""
        self.dataset.stop()
        self._forget_requests()
        found = count(self.rows.total, "row")
        self.refuse(f"Reading was stopped after {found}.", "Press o to open the file again.")

    def tell(self) -> None:
        facts = DataFacts(self.config.data.path, self.rows.total, self.rows.shape, self.state.stats)
        self.afina.set_data_facts(facts)

    # files that change under us

    def notice_change(self) -> None:
        """Reads files anew that another program has written, with the cursor where it was."""
        source = self.rows.source
        if source is not None and self.state.whole and not self._looking:
            self._looking = True
            self.dataset.look(source, self._take_look)

    def _take_look(self, answer: Answer) -> None:
        self._looking = False
        state = self.state
        if not answer["there"]:
            if not state.gone:
                state.gone = True
                words = "A file of the data is gone. The rows stay until another is opened."
                self.afina.say(words, "warning")
        elif answer["changed"]:
            self.open_file(return_to=self.here or 0)
            self.afina.say("The file has changed and was read anew.")
        elif state.gone:
            state.gone = False
            self.afina.say("The file is there again, as it was.")
        self.draw_facts()

    # actions

    def action_open_file(self) -> None:
        from tui.data.dialogs.open_data import OpenData

        def opened(path: str | None) -> None:
            if path is not None:
                same = self.config
                self.afina.open_data(path)
                if self.config == same:  # the very file that is open, or that could not be read
                    self.open_file(return_to=self.here or 0)

        self.app.push_screen(OpenData(offers(self.afina.session.recent)), opened)

    def action_shape(self) -> None:
        from tui.data.dialogs.shape import ShapeDialog

        def choose(shape: str | None) -> None:
            if shape is not None:
                data = msgspec.structs.replace(self.config.data, format=shape)
                self.afina.set_config(msgspec.structs.replace(self.config, data=data))

        self.app.push_screen(ShapeDialog(self.config.data.format, self.state.opened), choose)

    def action_information(self) -> None:
        from tui.data.about_text import about
        from tui.data.dialogs.about import About

        words = about(self.rows, self.state, self.subject)
        self.app.push_screen(About(visible(self.state.name, newlines=False), words))

    def action_checks(self) -> None:
        from tui.data.dialogs.checks import Checks

        def chosen(check: str | None) -> None:
            if check is not None:
                self.show_only(f'"{check}" in problems')

        self.app.push_screen(Checks(self.state.counts, self.state.progress()), chosen)

    def action_statistics(self) -> None:
        from tui.data.dialogs.statistics import Statistics

        def chosen(max_length: int | None) -> None:
            if max_length is not None and max_length != self.config.data.max_length:
                data = msgspec.structs.replace(self.config.data, max_length=max_length)
                self.afina.set_config(msgspec.structs.replace(self.config, data=data))
                self.afina.say(f"max_length is {max_length:,} now.")

        screen = Statistics(self.config, self.state)
        self.app.push_screen(screen, chosen)
        self.ask("statistics", screen.take, screen.refuse)

    def adapt(self) -> None:
        """The configuration is another one: opens other files, or encodes the rows anew."""
        now, before = self.subject, self._opened
        if now == before:
            self.draw_figures()
        elif self.rows.source is None or before is None or now[:2] != before[:2]:
            self.open_file()
        else:
            self._opened = now
            self.rows.template = now.recipe.prompt_template
            self.rows.guess_shape(now.recipe.shape)
            self.encode_again()

    def _forget_requests(self) -> None:
        super()._forget_requests()
        self._looking = False
