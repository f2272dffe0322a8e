"""What the dialogs share: a frame over the pane, a footer of their own, esc to close."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from textual.screen import ModalScreen

from tui.actions import Scoped, bindings

if TYPE_CHECKING:
    from tui.app import AfinaApp

Result = TypeVar("Result")


class Dialog(Scoped, ModalScreen[Result | None]):
    """A modal screen; dismissed with None when the person goes back."""

    CSS_PATH = Path(__file__).with_name("dialogs.tcss")  # also for a subclass in another folder
    scope = "dialog"
    BINDINGS = bindings("dialog")

    @property
    def afina(self) -> AfinaApp:
        return cast("AfinaApp", self.app)

    def on_mount(self) -> None:  # Textual calls a subclass's on_mount besides this one
        self.set_class(self.afina.ascii_only, "-ascii")
        self.afina.main.add_class("-behind")

    def on_unmount(self) -> None:
        others = [screen for screen in self.app.screen_stack[1:] if screen is not self]
        self.afina.main.set_class(bool(others), "-behind")

    def action_back(self) -> None:
        self.dismiss(None)

    async def action_quit(self) -> None:
        self.dismiss(None)
        await self.app.run_action("act('quit')")
