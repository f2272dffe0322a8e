"""What the dialogs that make new files share: options, a plan, progress, and a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.text import Text
from textual.app import ComposeResult

from core.data.escape import visible
from tui.actions import Action, bindings
from tui.data.dataset import Answer
from tui.dialogs.dialog import Dialog
from tui.dialogs.question import Question
from tui.theme import RED, SECONDARY, TEXT
from tui.widgets.footer import Footer
from tui.widgets.form import Form
from tui.widgets.form_lines import Group
from tui.widgets.frame import Frame, Words


class Work(NamedTuple):
    """How a dialog reaches the data worker."""

    start: Callable[..., int | None]  # (fields) -> the number of the request
    cancel: Callable[[int | None], object]


class OutputDialog(Dialog[Answer]):
    """Dismissed with the report when the new files are to be opened."""

    scope = "output"
    BINDINGS = bindings("output")
    heading = ""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work
        self._request: int | None = None
        self._busy = False
        self._report: Answer | None = None
        self._refused = ""

    def compose(self) -> ComposeResult:
        with Frame(self.heading, "the source stays as it is"):
            yield Form(long_values=True)
            yield Words(id="plan")
        yield Footer()

    def on_mount(self) -> None:
        super().on_mount()
        self.draw()
        self.query_one(Form).lines.focus()

    # what a subclass says

    def groups(self) -> list[Group]:
        """The form."""
        raise AssertionError("of a subclass")

    def plan(self) -> Text:
        """What will come of it."""
        raise AssertionError("of a subclass")

    def fields(self) -> dict[str, Any]:
        """The request."""
        raise AssertionError("of a subclass")

    def targets(self) -> list[Path]:
        """The files that are made."""
        raise AssertionError("of a subclass")

    def report_words(self, report: Mapping[str, Any]) -> Text:
        """What came of it."""
        raise AssertionError("of a subclass")

    def problem(self) -> str:
        """Why it can't be started, a sentence; empty when it can."""
        return ""

    # drawing

    def draw(self) -> None:
        form = self.query_one(Form)
        form.display = self._report is None
        if self._report is None:
            form.set_groups(self.groups())
            form.styles.height = form.lines.count
            words = self.plan()
            if self._refused:
                words.append(f"\n{visible(self._refused)}", RED)
        else:
            words = self.report_words(self._report)
        if not self._busy:
            self.query_one("#plan", Words).update(words)
        self.afina.refresh_footer()

    def footer_actions(self) -> list[Action]:
        hidden = "open_new" if self._report is None else "start"
        return [action for action in super().footer_actions() if action.id != hidden]

    def why_not(self, action: str) -> str:
        if action == "start":
            if self._report is not None:
                return "It is written: o opens it, esc closes."
            return "It is at work: esc cancels." if self._busy else self.problem()
        if action == "open_new" and self._report is None:
            return "There is no new file yet: w writes it."
        return ""

    # the work

    def action_start(self) -> None:
        there = [path for path in self.targets() if path.exists()]
        if not there:
            self._start(overwrite=False)
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._start(overwrite=True)

        words = f'"{visible(str(there[0]))}" is there already.'
        self.app.push_screen(Question("replace the file?", words), answered)

    def _start(self, overwrite: bool) -> None:
        self._refused, self._busy = "", True
        self._tell(0, 0)
        self._request = self._work.start(**self.fields(), overwrite=overwrite)
        self.afina.refresh_footer()

    def _tell(self, done: int, total: int) -> None:
        words = Text("writing", TEXT)
        if total:
            words.append(f" {done * 100 // total}%", TEXT).append(f"  {done:,} of {total:,} rows")
        self.query_one("#plan", Words).update(words.append("   esc cancels", SECONDARY))

    def take(self, answer: Answer) -> None:
        """The worker's answer: progress, or the report."""
        if not self.is_attached or not self._busy:
            return
        if answer["kind"] == "progress":
            self._tell(answer["done"], answer["total"])
        elif answer["kind"] == "done":
            self._busy, self._report = False, answer["report"]
            self.set_focus(None)
            self.draw()

    def refuse(self, answer: Answer) -> None:
        """The worker can't do it."""
        if self.is_attached:
            self._busy = False
            self._refused = f"{answer['message']} {answer['hint']}".strip()
            self.draw()

    def action_back(self) -> None:
        if self._busy:
            self._work.cancel(self._request)
            self._busy = False
            self._refused = "Cancelled: nothing was written."
            self.draw()
        else:
            self.dismiss(None)

    def action_open_new(self) -> None:
        self.dismiss(self._report)
