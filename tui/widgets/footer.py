"""The last line: the keys of what has the focus, help and quit first."""

from __future__ import annotations

from rich.text import Text
from textual.app import RenderResult
from textual.keys import format_key
from textual.widget import Widget

from tui.actions import Action, scoped_chain
from tui.theme import AMBER, FRAME, SECONDARY

MOST = 7  # keys in the footer
LABELS = {
    "question_mark": "?",
    "escape": "esc",
    "pageup": "pgup",
    "pagedown": "pgdn",
    "enter": "enter",
    "tab": "tab",
    "space": "space",
    "delete": "del",
}


def key_label(key: str) -> str:
    """A key as people read it: "/", "esc", "ctrl+d"."""
    if len(key) == 1 or "+" in key:
        return key
    return LABELS.get(key) or format_key(key)


def types_a_letter(key: str) -> bool:
    """Whether the key writes something where a text is typed."""
    return len(key) == 1 or key == "space"


class Footer(Widget):
    """Draws the keys; asks every widget from the focused one upwards for its scope."""

    DEFAULT_CSS = "Footer { dock: bottom; height: 1; background: $bar; padding: 0 1; }"

    def render(self) -> RenderResult:
        line = Text(no_wrap=True)
        for key, action, able in self.entries():
            if line.cell_len + len(key) + len(action.label) + 1 > self.size.width:
                break
            line.append(key, f"bold {AMBER}" if able else FRAME)
            line.append(f" {action.label}   ", SECONDARY if able else FRAME)
        return line

    def entries(self) -> list[tuple[str, Action, bool]]:
        """(key, action, whether it can be done now), help and quit first, seven at most."""
        focused = self.screen.focused
        typing = focused is not None and focused.check_consume_key("q", "q")
        found: list[tuple[str, Action, bool]] = []
        shown: set[str] = set()
        for node in scoped_chain(focused or self.screen):
            entries = []
            for action in node.footer_actions():
                key = self._key(action, typing)
                if key and key not in shown:
                    shown.add(key)
                    entries.append((key_label(key), action, not node.why_not(action.id)))
            found = entries + found if node.scope == "app" else found + entries
        return found[:MOST]

    def _key(self, action: Action, typing: bool) -> str:
        """The action's first key that works now: while a text is typed, letters don't."""
        keys: list[str] = self.app.keys_of(action)  # type: ignore[attr-defined]
        return next((key for key in keys if not typing or not types_a_letter(key)), "")
