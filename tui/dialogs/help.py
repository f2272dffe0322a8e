"""The keys of this place, drawn from the registry, and where Afina keeps its things."""

from __future__ import annotations

import textwrap
from pathlib import Path

from rich.text import Text
from textual.app import ComposeResult

from tui.actions import ACTIONS, SCOPE_TITLES, Action, Scoped
from tui.dialogs.dialog import Dialog
from tui.keymap import FILE as KEYMAP_FILE
from tui.theme import AMBER, BLUE, RED, SECONDARY
from tui.widgets.footer import Footer, key_label
from tui.widgets.frame import Frame
from tui.widgets.text_view import TextView

KEY_CELLS = 16
LABEL_CELLS = 17
WIDEST = 104  # of the frame
MARGIN_CELLS = 10  # frame, padding and what the frame leaves at its sides


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
        line.append(action.label.ljust(LABEL_CELLS))
        indent = line.cell_len
        words = action.tooltip + (" Asks first." if action.danger else "")
        room = max(20, min(self.app.size.width, WIDEST) - indent - MARGIN_CELLS)
        rest = textwrap.fill(words, room).replace("\n", "\n" + " " * indent)
        return line.append(f"{rest}\n", RED if action.danger else SECONDARY)


def _places(home: Path) -> Text:
    text = Text("places\n", f"bold {BLUE}")
    for label, what in [
        ("home", str(home)),
        ("your own keys", f'{home / KEYMAP_FILE}, lines such as "data.search: /"'),
        ("copied text", str(home / "clipboard.txt")),
    ]:
        text.append(f"  {label.ljust(KEY_CELLS)}").append(f"{what}\n", SECONDARY)
    return text
