"""The workbench: the top line, the five panes, the footer, and what they share."""

from __future__ import annotations

import importlib
from pathlib import Path

from textual.app import App, ComposeResult
from textual.css.query import NoMatches
from textual.widgets import ContentSwitcher

from core.config import Config
from tui.actions import Action, Scoped, bindings
from tui.screens.pane import MissingPane, Pane
from tui.theme import ASCII, THEME, UNICODE, Symbols
from tui.widgets.footer import Footer
from tui.widgets.status_bar import TITLES, StatusBar

# imported at the first visit
PANES = {
    "data": "tui.screens.data:DataPane",
    "train": "tui.screens.train:TrainPane",
    "runs": "tui.screens.runs:RunsPane",
    "chat": "tui.screens.chat:ChatPane",
    "export": "tui.screens.export:ExportPane",
}


class AfinaApp(Scoped, App[None], inherit_bindings=False):
    """The app over one home."""

    CSS_PATH = "app.tcss"
    TITLE = "afina"
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-too-narrow"), (60, "-narrow"), (80, "-medium"), (120, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-too-low"), (16, "-high")]
    scope = "app"
    BINDINGS = bindings("app")

    def __init__(
        self,
        home: Path,
        data_path: str | None = None,
        config: Config | None = None,
        readonly: bool = False,
        ascii_only: bool = False,
    ) -> None:
        super().__init__()
        self.home = home
        self.readonly = readonly
        self.symbols: Symbols = ASCII if ascii_only else UNICODE
        self.config = config or Config()
        self.data_path = data_path
        self.first_pane = "data"
        self.animation_level = "none"
        self.register_theme(THEME)
        self.theme = THEME.name

    def compose(self) -> ComposeResult:
        yield StatusBar()
        yield ContentSwitcher(id="panes")
        yield Footer()

    async def on_mount(self) -> None:
        self.screen.set_class(self.symbols is ASCII, "-ascii")
        await self.show_pane(self.first_pane)
        self.watch(self.screen, "focused", self.refresh_footer, init=False)

    async def show_pane(self, name: str, subject: str | None = None) -> Pane:
        """Shows a pane, created now if it is its first visit, and opens a subject in it."""
        switcher = self.query_one("#panes", ContentSwitcher)
        before = switcher.visible_content
        pane = self._existing(name)
        if pane is None:
            pane = _create(name)
            await switcher.add_content(pane)
        if isinstance(before, Pane) and before is not pane:
            before.on_pane_hidden()
        switcher.current = name
        self.query_one(StatusBar).pane = name
        if before is not pane:
            pane.on_pane_shown()
            self.call_after_refresh(pane.focus_first)
        if subject is not None:
            pane.open_subject(subject)
        self.refresh_footer()
        return pane

    def _existing(self, name: str) -> Pane | None:
        try:
            return self.query_one(f"#panes > #{name}", Pane)
        except NoMatches:
            return None

    def keys_of(self, action: Action) -> list[str]:
        """The keys of an action, as the keymap has them."""
        return [key.strip() for key in action.keys.split(",")]

    def refresh_footer(self) -> None:
        """Draws the footer again: a pane calls it when a reason (`why_not`) comes or goes."""
        self.query_one(Footer).refresh()

    def set_config(self, config: Config) -> None:
        """Makes this the current configuration and tells the panes."""
        self.config = config
        for pane in self.query(Pane):
            pane.on_config_changed(config)

    def say(self, words: str, severity: str = "information") -> None:
        """Tells the person something in passing; severity is information, warning or error."""
        self.notify(words, severity=severity, markup=False)  # type: ignore[arg-type]

    async def action_pane_data(self) -> None:
        await self.show_pane("data")

    async def action_pane_train(self) -> None:
        await self.show_pane("train")

    async def action_pane_runs(self) -> None:
        await self.show_pane("runs")

    async def action_pane_chat(self) -> None:
        await self.show_pane("chat")

    async def action_pane_export(self) -> None:
        await self.show_pane("export")

    async def action_quit(self) -> None:
        self.exit()


def _create(name: str) -> Pane:
    module, _, cls = PANES[name].partition(":")
    try:
        return getattr(importlib.import_module(module), cls)(id=name)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        return MissingPane(TITLES[name], id=name)
