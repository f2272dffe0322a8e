"""The palette: every action that can be done here, found by its name."""

from __future__ import annotations

from textual.app import ComposeResult

from tui.actions import SCOPE_TITLES, Action, Scoped, of_scope
from tui.dialogs.choice import ChoiceBox, Entry
from tui.dialogs.dialog import Dialog
from tui.theme import AMBER, FRAME, SECONDARY
from tui.widgets.footer import Footer, key_label
from tui.widgets.frame import Frame
from tui.widgets.row_list import Column

COLUMNS = (Column("action", 16), Column("key", 9), Column("what it does", 0), Column("where", 10))
MOVES = ("list", "text", "tokens", "form")
Doable = tuple[Scoped, Action]


class Palette(Dialog[Doable]):
    """Dismissed with the widget and the action that were chosen."""

    def __init__(self, chain: list[Scoped]) -> None:
        super().__init__()
        self._chain = chain

    def compose(self) -> ComposeResult:
        with Frame("actions"):
            yield ChoiceBox(COLUMNS, self._offer, placeholder="a few letters of its name")
        yield Footer()

    def _offer(self, text: str) -> list[Entry]:
        words = text.casefold().split()
        found = []
        for node in self._chain:
            for action in of_scope(node.scope):
                where = SCOPE_TITLES[action.scope]
                known = f"{action.label} {action.tooltip} {where}".casefold()
                if all(word in known for word in words):
                    found.append(self._entry(node, action, where))
        # what begins with the words first; last the moves, which everybody has in their fingers
        return sorted(found, key=lambda entry: _order(entry.value[1], text))

    def _entry(self, node: Scoped, action: Action, where: str) -> Entry:
        keys = self.afina.keys_of(action)
        reason = node.why_not(action.id)
        colour = FRAME if reason else SECONDARY
        label = (action.label, FRAME) if reason else action.label
        cells = (label, (key_label(keys[0]), AMBER), (reason or action.tooltip, colour),
                 (where, SECONDARY))  # fmt: skip
        return Entry((node, action), cells)

    def on_choice_box_taken(self, event: ChoiceBox.Taken) -> None:
        if event.entry is not None:
            self.dismiss(event.entry.value)


def _order(action: Action, text: str) -> tuple[bool, bool]:
    return (not text or not action.label.startswith(text), action.scope in MOVES)
