"""Every action of the workbench, once: its keys, label and meaning. Bindings, footer, palette, help, the table
in docs/ and the keymap file are drawn from here. What an action does is `action_<id>` of the widget of its scope.
"""

from __future__ import annotations

from inspect import isawaitable
from typing import NamedTuple

from textual.binding import Binding
from textual.widget import Widget


class Action(NamedTuple):
    """One thing that a key does. `keys` are Textual's names with commas between, single characters as they are."""

    id: str
    keys: str
    label: str  # one to three words, for the footer
    tooltip: str  # a sentence, for help and palette
    scope: str
    danger: bool = False  # asks before it acts
    footer: bool = True  # False: only in help and palette

    @property
    def name(self) -> str:
        """The id in the keymap file."""
        return f"{self.scope}.{self.id}"


ACTIONS: list[Action] = [
    # everywhere
    Action("help", "?,f1", "help", "Show the keys of this place.", "app"),
    Action("quit", "q,ctrl+q", "quit", "Leave the workbench; training goes on without it.", "app"),
    Action(
        "palette", "ctrl+p,colon", "actions", "Find an action by its name.", "app", footer=False
    ),
    Action("pane_data", "1,alt+1", "Data", "Look at the training data.", "app", footer=False),
    Action("pane_train", "2,alt+2", "Train", "Configure and start a run.", "app", footer=False),
    Action("pane_runs", "3,alt+3", "Runs", "Watch the runs.", "app", footer=False),
    Action("pane_chat", "4,alt+4", "Chat", "Chat with models.", "app", footer=False),
    Action("pane_export", "5,alt+5", "Export", "Export a model.", "app", footer=False),
    # lists of rows
    Action("up", "up,k", "up", "One row up.", "list", footer=False),
    Action("down", "down,j", "down", "One row down.", "list", footer=False),
    Action("first", "g,home", "first", "To the first row.", "list", footer=False),
    Action("last", "G,end", "last", "To the last row.", "list", footer=False),
    Action("half_up", "ctrl+u", "half up", "Half a page up.", "list", footer=False),
    Action("half_down", "ctrl+d", "half down", "Half a page down.", "list", footer=False),
    Action("page_up", "pageup", "page up", "A page up.", "list", footer=False),
    Action("page_down", "pagedown", "page down", "A page down.", "list", footer=False),
    Action("open", "enter", "open", "Open the row under the cursor.", "list", footer=False),
    # Data
    # Train
    # Runs
    # Chat
    # Export
]

# the scopes whose keys can be pressed at the same time as those of the key
INSIDE: dict[str, tuple[str, ...]] = {
    "list": ("data", "runs", "export"),
}


def of_scope(scope: str) -> list[Action]:
    """The actions of one scope, in their order."""
    return [action for action in ACTIONS if action.scope == scope]


def bindings(scope: str) -> list[Binding]:
    """The bindings of a scope's widget, which has to be `Scoped`."""
    return [
        Binding(action.keys, f"act('{action.id}')", action.label, id=action.name)
        for action in of_scope(scope)
    ]


class Scoped:
    """A widget or app whose keys come from the registry: `scope`, `BINDINGS = bindings(scope)`, `action_<id>`."""

    scope: str = ""

    def why_not(self, action: str) -> str:
        """Why the action can't be done now, as a sentence; empty when it can. Its key stays listed, greyed."""
        return ""

    async def action_act(self, action: str) -> None:
        """What every binding calls: does the action, or says why not."""
        reason = self.why_not(action)
        if reason:
            app = self.app if isinstance(self, Widget) else self
            app.say(reason, "warning")  # type: ignore[attr-defined]
            return
        result = getattr(self, f"action_{action}")()
        if isawaitable(result):
            await result
