"""The Runs pane: every run of the home, the chosen one in full, and what can be done to it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from textual.app import ComposeResult
from textual.message import Message

from core.figures import duration, short
from tui.actions import bindings
from tui.runs.poller import RunsPoller, Snapshot
from tui.runs.run_actions import RunActions
from tui.runs.tabs import RunTabs
from tui.runs.text import note, progress, state_words, strip
from tui.runs.view import RunView
from tui.theme import RED
from tui.widgets.frame import Frame, Words
from tui.widgets.row_list import Cell, Column, RowList

NAME_CELLS = (16, 32)  # narrowest and widest column of names
LIST_SHARE = 4  # the list takes at most this part of the height


class RunRows:
    """The runs as rows, drawn from the newest snapshot."""

    def __init__(self) -> None:
        self.views: list[RunView] = []
        self.columns: list[str] = []
        self.now = time.time()

    def __len__(self) -> int:
        return len(self.views)

    def cells(self, index: int) -> Sequence[Cell]:
        view = self.views[index]
        bad = view.loss is not None and view.loss != view.loss
        every: dict[str, Cell] = {
            "run": view.name,
            "state": state_words(view),
            "step": progress(view),
            "loss": (short(view.loss), RED) if bad else short(view.loss),
            "eval": short(view.eval_loss),
            "tok/s": short(view.tokens_per_s),
            "eta": duration(view.eta_s if view.state == "running" else None),
            "age": duration(self.now - view.started if view.started else None),
            "": note(view, self.now),
        }
        return [every[name] for name in self.columns]


class RunsPane(RunActions):
    """Runs above, the chosen one below, one strip with the newest thing to know."""

    DEFAULT_CSS = Path(__file__).with_suffix(".tcss").read_text(encoding="utf-8")
    scope = "runs"
    BINDINGS = bindings("runs")
    first_focus = "#runs-list"

    class Looked(Message):
        """The feed has looked at the runs."""

        def __init__(self, snapshot: Snapshot) -> None:
            super().__init__()
            self.snapshot = snapshot

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, RunsPane.Looked)

    def __init__(self, **options) -> None:  # noqa: ANN003
        super().__init__(**options)
        self._rows = RunRows()
        self._snapshot = Snapshot([], None)
        self._chosen: str | None = None  # id of the run under the cursor
        self._feed: RunsPoller | None = None

    def compose(self) -> ComposeResult:
        with Frame("runs", id="runs-frame"):
            yield RowList([Column("run", 0)], open_label="chat", id="runs-list")
            yield Words("No runs yet. 2 configures one and starts it.", id="runs-none")
        yield RunTabs(self.symbols, id="runs-tabs")
        yield Words(id="runs-strip")

    def on_mount(self) -> None:
        self.query_one("#runs-list", RowList).rows = self._rows
        self._feed = RunsPoller(
            self.home,
            lambda snapshot: self.post_message(self.Looked(snapshot)),
            self.app.post_message,
        )
        self._feed.choose(self._chosen)
        self._feed.start()

    def on_unmount(self) -> None:
        if self._feed:
            self._feed.close()

    def on_pane_shown(self) -> None:
        if self._feed:
            self._feed.start()

    def on_pane_hidden(self) -> None:
        if self._feed:
            self._feed.pause()

    def on_resize(self) -> None:
        self._arrange()

    def open_subject(self, subject: str) -> None:
        """Puts the cursor on a run, named by its id, its name or its directory."""
        self._choose(Path(subject).name)

    @property
    def chosen(self) -> RunView | None:
        """The run under the cursor."""
        for view in self._rows.views:
            if self._chosen in (view.id, view.name):
                return view
        return self._rows.views[0] if self._rows.views else None

    def on_runs_pane_looked(self, message: Looked) -> None:
        first = not self._rows.views
        self._snapshot = message.snapshot
        self._rows.views = message.snapshot.runs
        self._rows.now = time.time()
        self._arrange()
        row_list = self.query_one("#runs-list", RowList)
        chosen = self.chosen
        if chosen is not None:
            at = self._rows.views.index(chosen)
            if first or row_list.cursor != at:
                row_list.set_rows(self._rows, at)
        self._show()
        self.tell_answer(chosen)
        self.afina.refresh_footer()

    def on_row_list_moved(self, message: RowList.Moved) -> None:
        if message.row_list.id == "runs-list" and self._rows.views:
            view = self._rows.views[message.index]
            if view.id != self._chosen:
                self._choose(view.id)
                self._show()

    async def on_row_list_opened(self, message: RowList.Opened) -> None:
        if message.row_list.id == "runs-list":
            await self.action_chat()
        elif (view := self.chosen) is not None:
            step = self._snapshot.detail.checkpoints[message.index].step  # type: ignore[union-attr]
            await self.afina.show_pane("chat", f"{view.id}@{step}")

    async def action_chat(self) -> None:
        reason = self.why_not("chat")
        if reason:
            self.afina.say(reason, "warning")
        elif view := self.chosen:
            await self.afina.show_pane("chat", view.id)

    async def action_export(self) -> None:
        if view := self.chosen:
            await self.afina.show_pane("export", view.id)

    def action_log(self) -> None:
        self._tabs.open_tab("curves" if self._tabs.tab == "log" else "log")

    def action_next_tab(self) -> None:
        self._tabs.move_tab(1)

    def action_previous_tab(self) -> None:
        self._tabs.move_tab(-1)

    def action_next_sample(self) -> None:
        self._tabs.move_sample(1)

    def action_previous_sample(self) -> None:
        self._tabs.move_sample(-1)

    def action_log_axis(self) -> None:
        self._tabs.toggle_log_axis()

    @property
    def _tabs(self) -> RunTabs:
        return self.query_one(RunTabs)

    def _choose(self, run: str) -> None:
        self._chosen = run
        if self._feed:
            self._feed.choose(run)

    def _show(self) -> None:
        """Draws the chosen run."""
        view = self.chosen
        self._tabs.show(view, self._snapshot.detail)
        line = self.query_one("#runs-strip", Words)
        line.update(strip(view, self.symbols, line.content_size.width))

    def _arrange(self) -> None:
        """Columns and height of the list, for the room and the runs that there are."""
        views, row_list = self._rows.views, self.query_one("#runs-list", RowList)
        width = self.app.size.width
        longest = max((len(view.name) for view in views), default=0)
        name = max(NAME_CELLS[0], min(NAME_CELLS[1], longest + 2))
        columns = [
            Column("run", name),
            Column("state", 11),
            Column("step", 11, right=True),
            Column("loss", 6, right=True),
            Column("eval", 6, right=True),
            Column("tok/s", 6, right=True),
        ]
        if width >= 100:
            columns += [Column("eta", 7, right=True), Column("age", 7, right=True)]
        if width >= 124:
            columns.append(Column("", 0))
        elif width < 70:
            columns = columns[:4]
        self._rows.columns = [column.title for column in columns]
        row_list.columns = columns
        row_list.styles.height = 1 + max(1, min(len(views), (self.size.height or 24) // LIST_SHARE))
        self.query_one("#runs-none").display = not views
        row_list.rows_changed()
        self.query_one("#runs-frame", Frame).set_facts(str(len(views)) if views else "")

    def look_now(self) -> None:
        if self._feed:
            self._feed.look_now()
