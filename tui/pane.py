"""What the five panes share: their place in the app and the hooks that show and hide them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual.containers import Container
from textual.events import DescendantFocus
from textual.widget import Widget

from core.config import Config
from tui.actions import Scoped
from tui.theme import Symbols

if TYPE_CHECKING:
    from tui.app import AfinaApp


class Pane(Scoped, Container, can_focus=False):
    """One of the five panes. It is created at its first visit and then kept.

    A subclass sets `scope`, `BINDINGS = bindings(scope)`, composes Frames, and names in
    `first_focus` the widget that gets the focus when the pane is shown.
    """

    DEFAULT_CSS = "Pane { layout: vertical; width: 1fr; height: 1fr; }"
    first_focus = ""  # a selector

    def __init__(self, **options) -> None:  # noqa: ANN003
        super().__init__(**options)
        self._last_focus: Widget | None = None

    @property
    def afina(self) -> AfinaApp:
        return cast("AfinaApp", self.app)

    @property
    def home(self) -> Path:
        return self.afina.home

    @property
    def config(self) -> Config:
        """The configuration that Data and Train work on; change it with `self.afina.set_config`."""
        return self.afina.config

    @property
    def symbols(self) -> Symbols:
        return self.afina.symbols

    @property
    def wide(self) -> bool:
        """Whether two frames fit side by side (120 columns and more)."""
        return self.app.size.width >= 120

    def on_pane_shown(self) -> None:
        """The pane became visible: resume timers, read what changed meanwhile."""

    def on_pane_hidden(self) -> None:
        """The pane is no longer visible: pause timers."""

    def on_config_changed(self, config: Config) -> None:
        """The current configuration is another one now."""

    def on_data_facts(self) -> None:
        """The Data pane has learned more about the training data (`self.afina.data_facts`)."""

    def open_subject(self, subject: str) -> None:
        """Shows one thing: a data file, a YAML file (train), a run, a TARGET (chat, export)."""

    def focus_first(self) -> None:
        """Gives the focus to the pane's first widget, or back to the one that had it.

        At once, and not by a message: a key that was pressed in the same moment is for this pane.
        """
        wanted = self._last_focus
        if wanted is None or not wanted.is_attached or not wanted.focusable:
            wanted = next(iter(self.query(self.first_focus)), None) if self.first_focus else None
        if wanted is None or not wanted.focusable:
            self.can_focus = True  # so that its keys work before there is anything in it
            wanted = self
        self.afina.main.set_focus(wanted, scroll_visible=False)

    def keep_focus(self) -> None:
        """Hands the focus on when what was to have it has come late."""
        if self.display and self.afina.main.focused in (None, self):
            self.focus_first()

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        self._last_focus = event.widget
        self.can_focus = False  # no stop for tab
