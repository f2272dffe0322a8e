"""The last line: the keys of what has the focus, help and quit first."""

from __future__ import annotations

from rich.text import Text
from textual.app import RenderResult
from textual.dom import DOMNode
from textual.keys import _character_to_key, format_key
from textual.widget import Widget

from tui.actions import Action, Scoped, of_scope
from tui.theme import AMBER, FRAME, SECONDARY

MOST = 7  # keys in the footer

LABELS = {"question_mark": "?", "enter": "enter", "escape": "esc", "space": "space", "pageup": "pgup",
          "pagedown": "pgdn"}  # fmt: skip


def key_label(key: str) -> str:
    """A key as people read it: "/", "esc", "ctrl+d"."""
    key = key.strip()
    if len(key) == 1:
        return key
    if "+" in key:
        return key
    return LABELS.get(key) or format_key(key)


class Footer(Widget):
    """Draws the keys; asks every widget from the focused one upwards for its scope."""

    DEFAULT_CSS = "Footer { dock: bottom; height: 1; background: $bar; padding: 0 1; }"

    def render(self) -> RenderResult:
        line = Text(no_wrap=True, overflow="ellipsis")
        for key, action, able in self.entries():
            if line.cell_len + len(key) + len(action.label) + 1 > self.size.width:
                break
            line.append(key, f"bold {AMBER}" if able else FRAME)
            line.append(f" {action.label}   ", SECONDARY if able else FRAME)
        return line

    def entries(self) -> list[tuple[str, Action, bool]]:
        """(key, action, whether it can be done now), help and quit first, seven at most."""
        typing = self._typing()
        found: list[tuple[str, Action, bool]] = []
        for node in scoped_chain(self.screen.focused or self.screen):
            actions = [action for action in of_scope(node.scope) if action.footer]
            entries = [
                (key_label(key), action, not node.why_not(action.id))
                for action in actions
                if (key := self._key(action, typing))
            ]
            found = entries + found if node.scope == "app" else found + entries
        return found[:MOST]

    def _typing(self) -> bool:
        focused = self.screen.focused
        return focused is not None and focused.check_consume_key("q", "q")

    def _key(self, action: Action, typing: bool) -> str:
        """The first key of an action that works now: while typing, letters don't."""
        keys = self.app.keys_of(action)  # type: ignore[attr-defined]
        free = [
            key for key in keys if not (typing and len(_character_to_key(key)) == 1 or key in "?:/")
        ]
        return (free or [""])[0] if typing else keys[0]


def scoped_chain(node: DOMNode | None) -> list[Scoped]:
    """The widgets with keys of their own, from the node up to the app."""
    chain: list[Scoped] = []
    while node is not None:
        if isinstance(node, Scoped) and node.scope:
            chain.append(node)
        node = node.parent
    return chain
