"""What can be done to the chosen run: requests to its worker, resume, fork, delete."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.message import Message

from core.errors import AfinaError
from core.jobs import ACTIVE
from core.runs.run import Run, delete_run
from tui.continuing import going_on
from tui.dialogs.continue_from import starts_of
from tui.dialogs.question import Question
from tui.pane import Pane
from tui.runs.dialogs.fork import Fork
from tui.runs.dialogs.resume import resume_dialog
from tui.runs.text import (
    delete_question,
    end_now_question,
    pause_question,
    resume_question,
    stop_question,
)
from tui.runs.view import RunView
from tui.train.files import TrainFiles

if TYPE_CHECKING:
    from core.train.checkpoint.resume import Difference

REQUESTS = ("stop", "pause", "checkpoint", "evaluate", "sample")
RESUMABLE = ("stopped", "paused", "failed", "interrupted")


class RunActions(Pane):
    """The part of the Runs pane that acts. The pane itself knows which run is chosen."""

    class Compared(Message):
        """What is another than when a run was started is known."""

        def __init__(self, view: RunView, found: list[Difference], reason: str) -> None:
            super().__init__()
            self.view = view
            self.found = found
            self.reason = reason  # why it can't be known

    def __init__(self, **options) -> None:  # noqa: ANN003
        super().__init__(**options)
        self.asked: int | None = None  # seq of our newest request

    @property
    def chosen(self) -> RunView | None:
        """The run under the cursor."""
        raise AssertionError("a pane with a list has a chosen run")

    def look_now(self) -> None:
        """Reads the runs again at once."""
        raise AssertionError("a pane with a feed looks")

    def why_not(self, action: str) -> str:
        view = self.chosen
        acting = (*REQUESTS, "resume", "delete", "chat", "export", "fork")
        if action not in acting:
            return ""
        if view is None:
            return "There is no run yet."
        if action == "fork":
            return ""
        if action in ("chat", "export"):
            answers = view.has_result or view.last_checkpoint is not None
            return "" if answers else f"{view.name} has neither a result nor a checkpoint yet."
        if self.afina.readonly:
            return "This workbench was opened with --readonly."
        return _why_not(action, view)

    def action_stop(self) -> None:
        view = self.chosen
        if view is not None and view.state == "stopping":
            self._ask(end_now_question, lambda run: self._request(run, "stop", now=True))
        else:
            self._ask(stop_question, lambda run: self._request(run, "stop"))

    def action_pause(self) -> None:
        self._ask(pause_question, lambda run: self._request(run, "pause"))

    def action_checkpoint(self) -> None:
        self._send("checkpoint")

    def action_evaluate(self) -> None:
        self._send("evaluate")

    def action_sample(self) -> None:
        self._send("sample")

    def action_delete(self) -> None:
        self._ask(delete_question, delete_run)

    def action_resume(self) -> None:
        """Compares first: the data may be large, so not in the thread that draws."""
        if view := self.chosen:
            threading.Thread(target=self._compare, args=(view,), name="resume", daemon=True).start()

    def _compare(self, view: RunView) -> None:
        from core.train.checkpoint.resume import differences

        try:
            message = self.Compared(view, differences(Run(view.directory)), "")
        except (AfinaError, OSError) as error:
            message = self.Compared(view, [], str(error))
        self.post_message(message)

    def on_run_actions_compared(self, message: Compared) -> None:
        if message.reason:
            self.afina.say(message.reason, "error")
            return
        view = message.view

        def answered(yes: bool | None) -> None:
            if yes:
                self._do(lambda: _resume(Run(view.directory), message.found))

        title, words = resume_question(view)
        self.app.push_screen(resume_dialog(title, words, message.found), answered)

    def action_fork(self) -> None:
        """A new run out of this one: its configuration in the form, from a point of it or not."""
        view = self.chosen
        if view is None:
            return
        run = Run(view.directory)

        async def chosen(word: str | None) -> None:
            if word is not None:
                await self._fork(run, word or None)

        self.app.push_screen(Fork(view.name, list(starts_of(run))), chosen)

    async def _fork(self, run: Run, word: str | None) -> None:
        try:
            config = run.config
        except AfinaError as error:
            self.afina.say(str(error), "error")
            return
        if word is not None:
            config = going_on(self.home, config, word)
        pane = await self.afina.show_pane("train")
        assert isinstance(pane, TrainFiles)
        pane.replace(config)

    def _send(self, action: str) -> None:
        if view := self.chosen:
            self._do(lambda: self._request(Run(view.directory), action))

    def _request(self, run: Run, action: str, **fields: bool) -> None:
        self.asked = run.request(action, **fields)
        words = "end now" if fields.get("now") else action
        self.afina.say(f"Asked {run.name}: {words}.")

    def tell_answer(self, view: RunView | None) -> None:
        """Says once what the run answered to our newest request."""
        answer = view.control if view else None
        if answer is not None and self.asked is not None and answer.get("request") == self.asked:
            self.asked = None
            self.afina.say(f"{answer.get('action')}: {answer.get('result')}")

    def _ask(
        self,
        question: Callable[[RunView], tuple[str, str]],
        act: Callable[[Run], object],
    ) -> None:
        """Asks about the chosen run, then acts on it."""
        view = self.chosen
        if view is None:
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._do(lambda: act(Run(view.directory)))

        self.app.push_screen(Question(*question(view)), answered)

    def _do(self, act: Callable[[], object]) -> None:
        """Does it, or says why it can't be done."""
        try:
            act()
        except AfinaError as error:
            self.afina.say(str(error), "error")
        self.look_now()


def _resume(run: Run, found: list[Difference]) -> None:
    """Starts the run again; what would refuse it was agreed to."""
    from core.train.checkpoint import resume

    if any(each.meaning for each in found):
        resume.force(run)
    run.start("train")


def _why_not(action: str, view: RunView) -> str:
    working = view.state in ACTIVE
    if action in REQUESTS and not working:
        return f"{view.name} is not at work: it is {view.state}."
    if action == "pause" and view.state == "stopping":
        return f"{view.name} is stopping already."
    if action == "sample" and view.objective == "classification":
        return "A classifier answers no prompts."
    if action == "resume" and view.state not in RESUMABLE:
        return f"{view.name} is {view.state}; there is nothing to resume."
    if action == "delete" and working:
        return f"{view.name} is at work; stop it first."
    return ""
