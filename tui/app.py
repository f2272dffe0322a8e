"""The workbench: the top line, the five panes, the footer, and what they share."""

from __future__ import annotations

import importlib
import traceback
from pathlib import Path

import msgspec
from textual.app import App, ComposeResult
from textual.css.query import NoMatches
from textual.screen import Screen
from textual.widgets import ContentSwitcher

from core.config import Config, config_io
from core.data.escape import visible
from core.data.files.hub import is_dataset_id
from tui import keymap, session
from tui.actions import Action, Scoped, bindings, of_scope, scoped_chain
from tui.activity import Activity, ActivityPoller, ActivityTick
from tui.data_facts import DataFacts
from tui.pane import Pane
from tui.poller import PollerFailed
from tui.shell import clipboard, terminal
from tui.theme import ASCII, THEME, UNICODE, Symbols, use_ascii_scrollbars
from tui.widgets.footer import Footer, key_label
from tui.widgets.status_bar import StatusBar, TooSmall

# imported at the first visit
FAULTS = "app.log"  # in the home: tracebacks of what the app met
PANES = {
    "data": "tui.data.pane:DataPane",
    "train": "tui.train.pane:TrainPane",
    "runs": "tui.runs.pane:RunsPane",
    "chat": "tui.chat.pane:ChatPane",
    "export": "tui.export.pane:ExportPane",
}


class AfinaApp(Scoped, App[None], inherit_bindings=False):
    """The app over one home."""

    CSS_PATH = "app.tcss"
    TITLE = "afina"
    ENABLE_COMMAND_PALETTE = False
    NOTIFICATION_TIMEOUT = 6
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
        self.ascii_only = ascii_only or not terminal.speaks_unicode()
        self.symbols: Symbols = ASCII if self.ascii_only else UNICODE
        if self.ascii_only:
            use_ascii_scrollbars()
        self.session = session.load(home)
        self.config = config or session.last_config(self.session)
        if data_path is not None:
            self.config = with_data(self.config, data_path)
        fresh = config is not None or data_path is not None
        self.first_pane = "data" if fresh or self.session.pane not in PANES else self.session.pane
        self.data_facts: DataFacts | None = None
        self.activity = Activity()
        self.animation_level = "none"
        self.register_theme(THEME)
        self.theme = THEME.name
        self.keymap_file = keymap.load(home)
        self.set_keymap(self.keymap_file.for_textual())
        self._watch = ActivityPoller(
            home, lambda seen: self.post_message(ActivityTick(seen)), self.post_message
        )

    def compose(self) -> ComposeResult:
        yield StatusBar()
        yield ContentSwitcher(id="panes")
        yield Footer()
        yield TooSmall()

    async def on_mount(self) -> None:
        if not self.is_headless:
            terminal.on_hangup(self.exit)
        self.screen.set_class(self.ascii_only, "-ascii")
        await self.show_pane(self.first_pane)
        self.watch(self.screen, "focused", self.refresh_footer, init=False)
        if self.keymap_file.problems:
            problems = "\n".join(map(str, self.keymap_file.problems))
            self.say(f"{problems}\nThe default keys are on until it is mended.", "error")
        self._watch.start()

    def on_unmount(self) -> None:
        self._watch.close()
        self.save_session()

    # panes

    @property
    def pane(self) -> Pane | None:
        """The pane that is shown."""
        shown = self.main.query_one("#panes", ContentSwitcher).visible_content
        return shown if isinstance(shown, Pane) else None

    @property
    def main(self) -> Screen:
        """The screen with the panes, under whatever dialog is open."""
        return self.screen_stack[0]

    async def show_pane(self, name: str, subject: str | None = None) -> Pane:
        """Shows a pane, created now if it is its first visit, and opens a subject in it."""
        switcher = self.main.query_one("#panes", ContentSwitcher)
        before = self.pane
        pane = self._existing(name)
        if pane is None:
            pane = _create(name)
            await switcher.add_content(pane)
        if before is not None and before is not pane:
            before.on_pane_hidden()
        switcher.current = name
        self.main.query_one(StatusBar).pane = name
        self.session.pane = name
        if before is not pane:
            pane.on_pane_shown()
            pane.focus_first()
        if subject is not None:
            pane.open_subject(subject)
        self.refresh_footer()
        return pane

    def _existing(self, name: str) -> Pane | None:
        try:
            return self.main.query_one(f"#panes > #{name}", Pane)
        except NoMatches:
            return None

    async def on_status_bar_chosen(self, event: StatusBar.Chosen) -> None:
        await self.show_pane(event.pane)

    # what the panes share

    def set_config(self, config: Config) -> None:
        """Makes this the current configuration, keeps it in the session, tells the panes."""
        if config == self.config:
            return
        self.config = config
        self.save_session()
        for pane in self.main.query(Pane):
            pane.on_config_changed(config)

    def set_data_facts(self, facts: DataFacts) -> None:
        """What the Data pane has learned, for the others."""
        self.data_facts = facts
        for pane in self.main.query(Pane):
            pane.on_data_facts()

    async def learn_data(self) -> None:
        """Has the Data pane read the training data, also when nobody has looked at it yet."""
        if self._existing("data") is None:
            await self.main.query_one("#panes", ContentSwitcher).add_content(_create("data"))

    def open_data(self, path: str) -> None:
        """Makes a file the training data, for the form and the run too."""
        self.session.opened(path)
        self.set_config(with_data(self.config, path))

    def save_session(self) -> None:
        if not self.readonly:
            self.session.config = config_io.to_values(self.config)
            session.save(self.home, self.session)

    def say(self, words: str, severity: str = "information") -> None:
        """Tells the person something in passing; severity is information, warning or error."""
        self.clear_notifications()  # the newest is enough: a key may be pressed again and again
        self.notify(visible(words), severity=severity, markup=False)  # type: ignore[arg-type]

    def on_poller_failed(self, message: PollerFailed) -> None:
        """A fault of ours in a thread: said in a sentence, kept with its traceback."""
        log = self.home / FAULTS
        lines = traceback.format_exception(message.error)
        try:
            with open(log, "a", encoding="utf-8") as file:
                file.write("".join(lines))
        except OSError:
            kept = "".join(lines[-2:]).strip()  # nowhere to keep it: say what there is
        else:
            kept = f"The details are in {log}."
        self.say(
            f"Reading for the screen failed ({message.name}): {message.error}. {kept}", "error"
        )

    def copy_to_clipboard(self, text: str) -> None:
        """Textual's way in, from inputs and from text selected with the mouse."""
        self._clipboard = text
        self.copy(text)

    def copy(self, text: str) -> None:
        """Copies to the clipboard of the person's terminal, and to a file whose path is said."""
        sequence = clipboard.osc52(text)
        if sequence and self._driver is not None:  # Textual's own way knows nothing of tmux
            self._driver.write(sequence)
        if self.readonly:
            self.say("Copied to the clipboard.")
            return
        try:
            path = clipboard.write_file(self.home, text)
        except OSError as error:
            self.say(f"Copied to the clipboard; no file was written: {error.strerror}.", "warning")
            return
        where = "the clipboard and to " if sequence else ""
        self.say(f"Copied to {where}{path}.")

    # keys

    def keys_of(self, action: Action) -> list[str]:
        """The keys of an action, as the keymap has them."""
        return self.keymap_file.of(action)

    def refresh_footer(self) -> None:
        """Draws the footer again: a pane calls it when a reason (`why_not`) comes or goes."""
        if self.pane is not None:
            self.pane.keep_focus()
        for footer in self.screen.query(Footer):
            footer.refresh()

    def scoped_focus(self) -> list[Scoped]:
        """Everything with keys, from what has the focus up to the app."""
        return scoped_chain(self.screen.focused or self.pane or self.screen)

    def on_activity_tick(self, message: ActivityTick) -> None:
        self.activity = message.activity
        for place in (StatusBar, TooSmall):
            for bar in self.main.query(place):  # the last tick may come when they are gone
                bar.activity = message.activity

    # actions

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

    def action_next_frame(self) -> None:
        self.screen.focus_next()

    def action_previous_frame(self) -> None:
        self.screen.focus_previous()

    def action_help(self) -> None:
        from tui.dialogs.help import Help

        self.push_screen(Help(self.scoped_focus()))

    def action_palette(self) -> None:
        from tui.dialogs.palette import Doable, Palette

        async def do(chosen: Doable | None) -> None:
            if chosen is not None:
                node, action = chosen
                await node.action_act(action.id)

        self.push_screen(Palette(self.scoped_focus()), do)

    def action_how_to_quit(self) -> None:
        quit_key = next(action for action in of_scope("app") if action.id == "quit")
        keys = " or ".join(key_label(key) for key in self.keys_of(quit_key))
        self.say(f"{keys} leaves the workbench; training goes on without it.")

    async def action_quit(self) -> None:
        if self.activity.run:
            self.exit(message=f"Training goes on: {self.activity.run}. Come back with `afina`.")
        else:
            self.exit()


def with_data(config: Config, path: str) -> Config:
    """The configuration on another data file; what belonged to the old one goes with it."""
    full = _whole(path)
    if full == _whole(config.data.path):
        return config
    data = msgspec.structs.replace(
        config.data, path=full, mix={}, eval_path=None, format="auto", prompt_template=None
    )
    evaluation = msgspec.structs.replace(config.eval, watch_prompts=[])
    return msgspec.structs.replace(config, name=None, data=data, eval=evaluation)


def _whole(path: str) -> str:
    """A path that holds from any working directory; the name of a data set of the hub as it is."""
    return path if is_dataset_id(path) else str(Path(path).expanduser().resolve())


def _create(name: str) -> Pane:
    module, _, cls = PANES[name].partition(":")
    return getattr(importlib.import_module(module), cls)(id=name)
