"""A box to write in: enter sends, another key breaks the line; it grows with its text."""

from __future__ import annotations

from textual.events import Key
from textual.message import Message
from textual.widgets import TextArea

from tui.actions import Scoped, bindings, of_scope
from tui.keymap import canonical


class PromptBox(Scoped, TextArea):
    """Posts what was written; whoever takes it empties the box."""

    DEFAULT_CSS = """
    PromptBox {
        height: auto; max-height: 6; border: none; padding: 0;
        background: $background; color: $foreground;
        scrollbar-size-vertical: 1;
        &:focus { border: none; }
        & .text-area--cursor-line { background: $background; }
        & .text-area--placeholder { color: $muted; }
    }
    """
    scope = "prompt"
    BINDINGS = bindings("prompt")

    class Sent(Message):
        """The text that was sent."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(
        self,
        text: str = "",
        *,
        placeholder: str = "",
        id: str | None = None,  # noqa: A002 - Textual's own word
    ) -> None:
        super().__init__(text, compact=True, placeholder=placeholder, id=id)

    async def _on_key(self, event: Key) -> None:
        """Comes before TextArea's own: enter is not a line break here, and alt+v is no "v"."""
        for action in of_scope(self.scope):
            if event.key in map(canonical, self.app.keys_of(action)):  # type: ignore[attr-defined]
                event.stop()
                event.prevent_default()
                await self.action_act(action.id)
                return
        if event.key.startswith("alt+"):
            event.prevent_default()

    def action_send(self) -> None:
        self.post_message(self.Sent(self.text))

    def action_newline(self) -> None:
        self.insert("\n")
