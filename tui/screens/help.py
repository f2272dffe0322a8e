"""The keys of this place, drawn from the registry, and where Afina keeps its things."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text
from textual.app import ComposeResult

from tui.actions import ACTIONS, SCOPE_TITLES, Action, Scoped
from tui.keymap import FILE as KEYMAP_FILE
from tui.screens.dialogs.dialog import Dialog
from tui.theme import AMBER, BLUE, RED, SECONDARY
from tui.widgets.footer import Footer, key_label
from tui.widgets.frame import Frame
from tui.widgets.text_view import TextView

KEY_CELLS = 18


class Help(Dialog[None]):
    """First the keys that work here, then those of the other places."""

    def __init__(self, chain: list[Scoped]) -> None:
        super().__init__()
        self._here = list(dict.fromkeys(node.scope for node in chain))

    def compose(self) -> ComposeResult:
        with Frame("help", "esc closes"):
            yield TextView()
        yield Footer()

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(TextView).set_text(self.words())

    def words(self) -> Text:
        """The whole help."""
        text = Text()
        for scope in [*self._here, *(s for s in SCOPE_TITLES if s not in self._here)]:
            actions = [action for action in ACTIONS if action.scope == scope]
            if actions:
                title = SCOPE_TITLES[scope]
                text.append(f"{title}\n", f"bold {BLUE}")
                for action in actions:
                    text.append_text(self._line(action))
                text.append("\n")
        text.append_text(_places(self.afina.home))
        return text

    def _line(self, action: Action) -> Text:
        keys = " ".join(key_label(key) for key in self.afina.keys_of(action))
        line = Text("  ").append(keys.ljust(KEY_CELLS), f"bold {AMBER}")
        line.append(f"{action.label:<17}").append(action.tooltip, SECONDARY)
        if action.danger:
            line.append(" Asks first.", RED)
        return line.append("\n")


def _places(home: Path) -> Text:
    text = Text("places\n", f"bold {BLUE}")
    for label, what in [
        ("home", str(home)),
        ("your own keys", f'{home / KEYMAP_FILE}, lines such as "data.search: /"'),
        ("copied text", str(home / "clipboard.txt")),
    ]:
        text.append(f"  {label.ljust(KEY_CELLS)}").append(f"{what}\n", SECONDARY)
    return text
