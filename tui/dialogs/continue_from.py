"""Choosing what goes on learning: the result or a checkpoint of a run, or a folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from textual.app import ComposeResult

from core.data.escape import visible
from core.errors import AfinaError
from core.figures import duration, short
from core.jobs import State
from core.runs.run import Run, all_runs, find_run
from core.runs.target import split_point
from tui.dialogs.choice import ChoiceBox, Entry
from tui.dialogs.dialog import Dialog
from tui.theme import BLUE, SECONDARY, TEAL
from tui.widgets.footer import Footer
from tui.widgets.frame import Frame
from tui.widgets.row_list import Column

COLUMNS = (
    Column("run", 28),
    Column("from", 16),
    Column("eval", 7, right=True),
    Column("age", 7, right=True),
    Column("", 0),
)
MOST_RUNS = 60
NOTHING = "none"


class Start(NamedTuple):
    """A point of a run that another one can go on from."""

    word: str  # what model.continue_from says
    run: str
    point: str
    eval_loss: float | None
    written: float  # seconds since the epoch
    method: str


def starts(home: Path) -> list[Start]:
    """The results and the best and newest checkpoints of the runs, newest run first."""
    return [start for run in all_runs(home)[:MOST_RUNS] for start in starts_of(run)]


def starts_of(run: Run) -> Iterator[Start]:
    """The points of one run; none of one whose configuration can't be read."""
    try:
        method = run.config.method.kind
    except AfinaError:
        return
    state, saved = run.recorded_state(), run.checkpoints()
    if run.result is not None:
        yield _start(run, state, run.id, "result", run.result, method)
    steps = {int(folder.name.removeprefix("step-")): folder for folder in saved}
    if state.best_step in steps:
        folder = steps.pop(state.best_step)
        yield _start(run, state, f"{run.id}@best", f"best, {state.best_step:,}", folder, method)
    if steps:
        newest = max(steps)
        folder = steps[newest]
        yield _start(run, state, f"{run.id}@{newest}", f"step {newest:,}", folder, method)


def _start(run: Run, state: State, word: str, point: str, folder: Path, method: str) -> Start:
    loss = state.best_eval_loss if word.endswith("@best") else None
    return Start(word, run.id, point, loss, folder.stat().st_mtime, method)


class ContinueFrom(Dialog[str]):
    """Dismissed with the word for model.continue_from; "none" begins from the model itself."""

    def __init__(self, offers: list[Start]) -> None:
        super().__init__()
        self._offers = offers

    def compose(self) -> ComposeResult:
        with Frame("go on from", "or the folder of an adapter"):
            yield ChoiceBox(COLUMNS, self._matching, placeholder="part of a name, or a path")
        yield Footer()

    def _matching(self, text: str) -> list[Entry]:
        wanted, now = text.casefold().split(), time.time()
        found = [Entry(NOTHING, ((NOTHING, BLUE), "the model itself", "", "", ""))]
        found += [entry_of(start, now) for start in self._offers]
        return [
            entry
            for entry in found
            if all(word in f"{entry.value} {entry.cells[1]}".casefold() for word in wanted)
        ]

    def on_choice_box_taken(self, event: ChoiceBox.Taken) -> None:
        typed = event.text.strip()
        if typed and not event.moved and self._stands_for(typed):
            self.dismiss(typed)
        elif event.entry is not None:
            self.dismiss(event.entry.value)
        else:
            self.afina.say(f'There is no run and no folder "{visible(typed)}".', "warning")

    def _stands_for(self, typed: str) -> bool:
        """Whether a run or a folder is named as it is to be written."""
        if Path(typed).expanduser().is_dir():
            return True
        try:
            find_run(self.afina.home, split_point(typed)[0])
        except AfinaError:
            return False
        return "@" in typed or any(typed == offer.word for offer in self._offers)


def entry_of(start: Start, now: float) -> Entry:
    age = duration(now - start.written)
    point = (start.point, TEAL if start.point == "result" else SECONDARY)
    cells = (visible(start.run), point, short(start.eval_loss), age, (start.method, SECONDARY))
    return Entry(start.word, cells)
