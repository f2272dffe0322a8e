"""The Export pane: which files to make of a model, their making, and how near each is to it."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text
from textual.app import ComposeResult
from textual.message import Message

from core import samples
from core.data.escape import visible
from core.errors import AfinaError
from core.figures import size
from core.jobs import Job
from core.runs.run import all_runs
from exporters.job.export_spec import Wanted
from exporters.job.plan import narrowed
from tui.actions import bindings
from tui.dialogs.question import Question
from tui.dialogs.target import TargetDialog
from tui.export.poller import ExportPoller, ExportView, JobView
from tui.export.rows import COLUMNS, WIDE_COLUMNS, ExportRows
from tui.export.text import job_words, progress_words, results_words, words_below
from tui.pane import Pane
from tui.targets import EXPORTED, offers
from tui.theme import RED
from tui.widgets.frame import Frame, Words
from tui.widgets.gauge import Gauge
from tui.widgets.live_text import LiveText
from tui.widgets.row_list import RowList

USUAL = Wanted("gguf", "q4_k_m")
GGUF_ADAPTER = Wanted("gguf", "lora")
NOTHING = "There is nothing to export yet: no run has a result. o chooses a model folder."


class ExportPane(Pane):
    """The table of exports above, what there is to say about them below."""

    DEFAULT_CSS = Path(__file__).with_suffix(".tcss").read_text(encoding="utf-8")
    scope = "export"
    BINDINGS = bindings("export")
    first_focus = "#export-table"

    class Looked(Message):
        """The feed has looked."""

        def __init__(self, view: ExportView) -> None:
            super().__init__()
            self.view = view

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, ExportPane.Looked)

    def __init__(self, **options) -> None:  # noqa: ANN003
        super().__init__(**options)
        self._word = ""
        self.rows = ExportRows()
        self._feed: ExportPoller | None = None

    def compose(self) -> ComposeResult:
        with Frame("export", id="export-frame"):
            yield RowList(COLUMNS, open_label="chat with it", id="export-table")
            yield Words(NOTHING, id="export-none")
            yield Gauge(ascii_only=self.afina.ascii_only)
            yield LiveText(symbols=self.symbols, follow=False, id="export-words")
        yield Words(id="export-strip")

    def on_mount(self) -> None:
        self.rows.symbols = self.symbols
        self._table.rows = self.rows
        self.query_one(Gauge).display = False
        self._feed = ExportPoller(
            self.home, lambda view: self.post_message(self.Looked(view)), self.app.post_message
        )
        self.open_subject(self._word or self._default())
        self._feed.start()

    def on_unmount(self) -> None:
        if self._feed:
            self._feed.close()

    def on_pane_shown(self) -> None:
        if self._feed:
            if not self._word:
                self.open_subject(self._default())
            self._feed.start()

    def on_pane_hidden(self) -> None:
        if self._feed:
            self._feed.pause()

    def on_resize(self) -> None:
        self._arrange()

    def open_subject(self, subject: str) -> None:
        """Shows the exports of a TARGET."""
        if subject != self._word:
            self.rows.marked.clear()
        self._word = subject
        if self._feed:
            self._feed.choose(subject)
        if self.is_mounted:
            self._arrange()

    @property
    def job(self) -> JobView | None:
        return self.rows.view.job

    def on_export_pane_looked(self, message: Looked) -> None:
        if message.view.word != self._word:
            return
        before, self.rows.view = self.rows.view, message.view
        if before.word != message.view.word or (before.plan is None) != (message.view.plan is None):
            self._table.set_rows(self.rows, self._first_row())
        self._arrange()
        self.afina.refresh_footer()

    def on_row_list_moved(self) -> None:
        self._draw_words()
        self.afina.refresh_footer()

    async def on_row_list_opened(self, message: RowList.Opened) -> None:
        result, word = self.rows.result_at(message.index), self._word
        problem = self.rows.problem_at(message.index)
        if result is not None and Wanted(result.kind, result.type) == GGUF_ADAPTER:
            self.afina.say(
                f"It goes over a base: afina chat BASE.gguf --adapter {result.path}", "warning"
            )
        elif result is not None:
            await self.afina.show_pane("chat", f"{word}\n{result.path}")
        elif message.index == 0:
            await self.afina.show_pane("chat", word)
        elif problem is not None:
            self.afina.say(problem.message, "warning")
        else:
            self.afina.say("This export is not there yet; x makes it.", "warning")

    def why_not(self, action: str) -> str:
        working = self.job is not None and self.job.active
        view = self.rows.view
        if action == "cancel":
            return "" if working else "No export is at work."
        if action not in ("export", "mark", "delete", "copy"):
            return ""
        if view.problem is not None:
            return str(view.problem)
        if not len(self.rows):
            return "There is nothing to export yet."
        if action == "copy":
            return "" if self._result() else "This export is not there yet."
        if self.afina.readonly:
            return "This workbench was opened with --readonly."
        problem = self.rows.problem_at(self._table.cursor)
        of_row = action == "mark" or (action == "export" and not self.rows.marked)
        if of_row and problem is not None:
            return f"{problem.message} {problem.hint}"
        if action == "export" and working:
            return "An export is at work; c cancels it."
        if action == "delete" and (working or not self._result()):
            return "An export is at work." if working else "This export is not there yet."
        return ""

    def action_mark(self) -> None:
        wanted = self.rows.wanted_at(self._table.cursor)
        if wanted is not None:
            self.rows.marked ^= {wanted}
            self._table.refresh()
            self._draw_facts()
        self._table.action_down()

    def action_export(self) -> None:
        """Exports what is marked, else what is under the cursor."""
        wanted = self._wanted()
        if not wanted:
            self.afina.say("Mark an export with space first.", "warning")
            return
        from exporters.job.request import create_export

        try:
            job = create_export(self.home, self._word, [str(each) for each in wanted])
            job.start("export")
        except AfinaError as error:
            self.afina.say(str(error), "error")
            return
        self.rows.marked.clear()
        self._look_now()

    def action_cancel(self) -> None:
        if self.job is not None:
            Job(self.job.directory).request("cancel")
            self._look_now()

    def action_choose(self) -> None:
        """Another run or model."""

        def chosen(word: str | None) -> None:
            if word:
                self.open_subject(word)

        able = [offer for offer in offers(self.home) if offer.what not in EXPORTED]
        self.app.push_screen(TargetDialog("export", able), chosen)

    def action_delete(self) -> None:
        result = self._result()
        assert result is not None
        path = Path(result.path)

        def answered(yes: bool | None) -> None:
            if yes:
                from exporters.files import discard

                assert self.rows.view.plan is not None
                discard(Path(self.rows.view.plan.folder), path)
                self._look_now()

        words = f'"{path}" goes; x makes it anew.'
        question = Question(f"Delete {result.kind} {result.type}?", words)
        self.app.push_screen(question, answered)

    def action_copy(self) -> None:
        if result := self._result():
            self.afina.copy(result.path)

    @property
    def _table(self) -> RowList:
        return self.query_one("#export-table", RowList)

    def _look_now(self) -> None:
        if self._feed:
            self._feed.look_now()

    def _result(self):  # noqa: ANN202 - a Result, or None
        return self.rows.result_at(self._table.cursor) if len(self.rows) else None

    def _default(self) -> str:
        """The newest run that has a result, else the sample model."""
        for run in all_runs(self.home):
            if run.result is not None:
                return run.id
        base = samples.TINY_MODEL
        return str(base) if (base / "config.json").is_file() else ""

    def _first_row(self) -> int:
        """The usual choice for a laptop."""
        return 1 + self.rows.view.offered.index(USUAL) if self.rows.view.offered else 0

    def _wanted(self) -> list[Wanted]:
        cursor = self._table.cursor
        here = self.rows.wanted_at(cursor)
        able = here is not None and self.rows.problem_at(cursor) is None
        chosen = self.rows.marked or ({here} if able else set())
        return [each for each in self.rows.view.offered if each in chosen]

    def _arrange(self) -> None:
        """Everything but the rows themselves, from the newest view."""
        view, table = self.rows.view, self._table
        self.rows.wide = self.app.size.width >= 100
        table.columns = WIDE_COLUMNS if self.rows.wide else COLUMNS
        table.styles.height = len(self.rows) + 1
        table.rows_changed()
        table.display = bool(len(self.rows))
        label = view.target.label if view.target else Path(self._word).name
        self.query_one("#export-frame", Frame).set_title(f"export {label}".strip())
        self._draw_nothing(view)
        self._draw_words()
        self._draw_facts()
        self._draw_job(view.job)

    def _draw_nothing(self, view: ExportView) -> None:
        """Why there is no table."""
        words = self.query_one("#export-none", Words)
        words.display = not len(self.rows)
        if view.problem is not None:
            words.update(Text.assemble(
                (visible(view.problem.message), RED), "\n", visible(view.problem.hint)
            ))  # fmt: skip
        else:
            words.update("Reading the model" if self._word else NOTHING)

    def _draw_words(self) -> None:
        words = self.query_one("#export-words", LiveText)
        words.display = bool(len(self.rows))
        words.blocks(words_below(self.rows, self._table.cursor))

    def _draw_facts(self) -> None:
        """needs 6.2 of 211 GiB · peak memory 0.5 GiB, of what is chosen."""
        plan, frame = self.rows.view.plan, self.query_one("#export-frame", Frame)
        wanted = self._wanted()
        if plan is None or not wanted:
            frame.set_facts("")
            return
        chosen = narrowed(plan, wanted)
        one = f"{wanted[0].kind} {wanted[0].type}"
        what = f"{len(wanted)} marked" if self.rows.marked else one
        dot = f" {self.symbols.dot} "
        disk = f"needs {size(chosen.needed_bytes)} of {size(plan.free_bytes)} free"
        memory = f"peak memory {size(chosen.memory_bytes)}"
        frame.set_facts(dot.join([what, disk, memory]))

    def _draw_job(self, job: JobView | None) -> None:
        gauge, strip = self.query_one(Gauge), self.query_one("#export-strip", Words)
        gauge.display = job is not None and job.active and job.total > 0
        if job is None:
            strip.update(results_words(self.rows.view.results) if len(self.rows) else "")
            return
        if gauge.display:
            gauge.share = job.done / job.total
            gauge.words = progress_words(job)
        strip.update(job_words(job, self.symbols.live, self.symbols.problem))
