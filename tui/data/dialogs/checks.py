"""Everything that was found in the rows: check by check, worst first; enter filters to one."""

from __future__ import annotations

from collections.abc import Mapping

from textual.app import ComposeResult

from core.data.catalog import CHECKS
from tui.data.text import count
from tui.dialogs.choice import ChoiceBox, Entry
from tui.dialogs.dialog import Dialog
from tui.theme import SECONDARY, SEVERITY
from tui.widgets.footer import Footer
from tui.widgets.frame import Frame
from tui.widgets.row_list import Column

COLUMNS = (
    Column("", 8),
    Column("check", 25),
    Column("rows", 9, right=True),
    Column("what it means", 0),
)
RANKS = tuple(SEVERITY)  # worst first


class Checks(Dialog[str]):
    """Dismissed with the name of a check. `counts`: check -> rows; `progress`: of the survey."""

    CSS = "Checks > Frame { width: 96%; }"

    def __init__(self, counts: Mapping[str, int], progress: str) -> None:
        super().__init__()
        self._found = sorted(
            counts.items(), key=lambda item: (RANKS.index(CHECKS[item[0]].severity), -item[1])
        )
        self._progress = progress

    def compose(self) -> ComposeResult:
        with Frame("checks", self._facts()):
            yield ChoiceBox(COLUMNS, self._offer, placeholder="a few letters of its name")
        yield Footer()

    def _facts(self) -> str:
        if not self._found:
            return self._progress or "nothing was found"
        facts = count(len(self._found), "check") + " with rows"
        return f"{facts}, {self._progress} so far" if self._progress else facts

    def _offer(self, text: str) -> list[Entry]:
        return [
            _entry(name, rows)
            for name, rows in self._found
            if all(word in f"{name} {CHECKS[name].meaning}".casefold() for word in text.split())
        ]

    def on_choice_box_taken(self, event: ChoiceBox.Taken) -> None:
        if event.entry is not None:
            self.dismiss(event.entry.value)


def _entry(name: str, rows: int) -> Entry:
    check = CHECKS[name]
    colour = SEVERITY[check.severity]
    return Entry(name, ((check.severity, colour), name, f"{rows:,}", (check.meaning, SECONDARY)))
