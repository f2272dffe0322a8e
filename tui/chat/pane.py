"""The Chat pane: one to four models side by side, one question for all, votes on the answers."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
from textual.app import ComposeResult
from textual.containers import Horizontal

from core.chat.commands import Command, read_line
from core.chat.default_system_prompt import system_prompt_of
from core.chat.preferences import count
from core.chat.protocol import Sampling
from core.errors import AfinaError
from core.runs.target import Target, resolve
from tui.actions import bindings
from tui.chat.column import ChatColumn
from tui.chat.dialogs.text import TextDialog
from tui.chat.dialogs.vote import BAD, TIE, Vote
from tui.chat.text import change_sampling, pane_facts
from tui.chat.votes import keep_vote, why_no_vote
from tui.dialogs.target import TargetDialog
from tui.pane import Pane
from tui.targets import default_words, offers, words_of
from tui.widgets.frame import Frame, Words
from tui.widgets.prompt_box import PromptBox

LETTERS = "ABCD"
NARROWEST = 38  # cells of a column; fewer of them are shown where there is no room
COMING = "An answer is still coming; esc stops it."
WORDS = {"system": "system", "retry": "again", "undo": "undo", "clear": "clear", "set": "set"}
NOTHING = (
    "There is no model to talk to yet: no run has a result, and the sample model is not there. "
    "Leave this box with esc and press a to name a model folder, a .gguf file or an ONNX folder."
)


class ChatPane(Pane):
    """The columns above, the box to write in below."""

    DEFAULT_CSS = Path(__file__).with_suffix(".tcss").read_text(encoding="utf-8")
    scope = "chat"
    BINDINGS = bindings("chat")
    first_focus = PromptBox.__name__

    def __init__(self, **options) -> None:  # noqa: ANN003
        super().__init__(**options)
        self._words: list[str] = []  # of the columns that are open
        self._system = ""
        self._sampling = Sampling()
        self._blind = False
        self._revealed = False

    def compose(self) -> ComposeResult:
        yield Horizontal(id="columns")
        yield Words(NOTHING, id="chat-none")
        with Frame(id="prompt"):
            yield PromptBox(placeholder="Ask all of them")

    async def on_mount(self) -> None:
        self.query_one("#chat-none").display = False
        if not self._words:
            await self._open(default_words(self.home))

    def on_resize(self) -> None:
        self._arrange()

    def open_subject(self, subject: str) -> None:
        """Opens a TARGET beside its base, or several with line breaks between."""
        words = words_of(self.home, subject)
        if words != self._words:
            self.app.call_later(self._open, words)

    @property
    def columns(self) -> list[ChatColumn]:
        return list(self.query(ChatColumn))

    @property
    def busy(self) -> bool:
        return any(column.busy for column in self.columns)

    async def _open(self, words: list[str]) -> None:
        """Shows these targets instead of the ones before."""
        targets = [target for word in words if (target := self._resolve(word)) is not None]
        await self.query(ChatColumn).remove()
        self._words = words
        self._system = system_prompt_of(targets)
        await self.query_one("#columns").mount_all(
            [ChatColumn(target, self.symbols, self._system) for target in targets]
        )
        self._arrange()

    async def _add(self, word: str | None) -> None:
        target = self._resolve(word) if word else None
        if target is None:
            return
        await self.query_one("#columns").mount(ChatColumn(target, self.symbols, self._system))
        self._words.append(target.word)
        self._arrange()

    def _resolve(self, word: str) -> Target | None:
        """The files behind a word; says what is wrong with it."""
        try:
            return resolve(self.home, word)
        except AfinaError as error:
            self.afina.say(str(error), "error")
            return None

    def _arrange(self) -> None:
        """Letters, and which columns there is room for: those around the one with the focus."""
        columns = self.columns
        room = max(1, self.app.size.width // NARROWEST)
        at = next((i for i, column in enumerate(columns) if column.has_focus_within), 0)
        first = max(0, min(at, len(columns) - room))
        for index, column in enumerate(columns):
            column.display = first <= index < first + room
            column.name_as(LETTERS[index], self._blind and not self._revealed)
        self.query_one("#chat-none").display = not columns
        self._draw_facts()

    def _draw_facts(self) -> None:
        facts = pane_facts(
            "" if not self._blind else "blind, revealed" if self._revealed else "blind",
            count(self.home),
            sum(not column.display for column in self.columns),
            self._sampling,
        )
        self.query_one("#prompt", Frame).set_facts(f" {self.symbols.dot} ".join(facts))

    def on_chat_column_changed(self) -> None:
        self.afina.refresh_footer()

    def on_text_area_changed(self, event: PromptBox.Changed) -> None:
        """Models load while one writes, so that the first answer comes sooner."""
        text = event.text_area.text.strip()
        if text and not isinstance(read_line(text), Command):
            for column in self.columns:
                column.load()

    def on_prompt_box_sent(self, event: PromptBox.Sent) -> None:
        text = read_line(event.text.strip())
        if isinstance(text, Command):
            self._obey(text)
            return
        if not text or not self.columns:
            return
        if self.busy:
            self.afina.say(COMING, "warning")
            return
        if self._blind and self._revealed:
            self._shuffle()
        self.query_one(PromptBox).clear()
        for column in self.columns:
            column.ask(text, self._sampling)

    def why_not(self, action: str) -> str:
        columns = self.columns
        if action in ("again", "undo", "clear", "system") and self.busy:
            return COMING
        asked = any(column.history.turns for column in columns)
        if action in ("again", "undo", "clear") and not asked:
            return "Nothing was asked yet."
        if action == "vote":
            return why_no_vote(columns, self.afina.readonly)
        if action == "add" and len(columns) == len(LETTERS):
            return "Four columns are the most; x takes one away."
        if action in ("remove", "change") and not columns:
            return "There is no column."
        if action == "blind" and len(columns) < 2:
            return "One column alone can't be blind; a adds another."
        if action == "copy" and not any(column.answer for column in columns):
            return "There is no answer yet."
        return ""

    def action_stop(self) -> None:
        """Stops what runs; else leaves the box, or comes back to it."""
        box = self.query_one(PromptBox)
        if self.busy:
            for column in self.columns:
                column.stop()
        elif box.has_focus and self.columns:
            self._shown()[0].body.focus()
        else:
            box.focus()

    def action_again(self) -> None:
        self._sampling = msgspec.structs.replace(self._sampling, seed=self._sampling.seed + 1)
        for column in self.columns:
            column.again(self._sampling)

    def action_system(self) -> None:
        def written(text: str | None) -> None:
            if text is not None:
                self._use_system(text.strip())

        dialog = TextDialog("system prompt", self._system, "enter takes it, ctrl+j a new line")
        self.app.push_screen(dialog, written)

    def action_add(self) -> None:
        self.app.push_screen(TargetDialog("add a column", offers(self.home)), self._add)

    def action_change(self) -> None:
        """Another model in the column that has the focus."""
        column = self._current()

        async def chosen(word: str | None) -> None:
            target = self._resolve(word) if word else None
            if target is None:
                return
            at = self.columns.index(column)
            new = ChatColumn(target, self.symbols, self._system)
            await self.query_one("#columns").mount(new, before=column)
            await column.remove()
            self._words[at : at + 1] = [target.word]
            self._arrange()

        title = f"another model for {LETTERS[self.columns.index(column)]}"
        self.app.push_screen(TargetDialog(title, offers(self.home)), chosen)

    async def action_remove(self) -> None:
        column = self._current()
        del self._words[self.columns.index(column)]
        self.query_one(PromptBox).focus()
        await column.remove()
        self._blind = self._blind and len(self.columns) > 1
        self._arrange()

    def action_blind(self) -> None:
        self._blind, self._revealed = not self._blind, False
        if self._blind:
            self._shuffle()
        self._arrange()

    def action_vote(self) -> None:
        letters = [LETTERS[i] for i, column in enumerate(self.columns) if column.answer]
        self.app.push_screen(Vote(letters), self._voted)

    def action_copy(self) -> None:
        column = self._current()
        self.afina.copy(column.answer or next(c.answer for c in self.columns if c.answer))

    def action_next_column(self) -> None:
        self._move_focus(1)

    def action_previous_column(self) -> None:
        self._move_focus(-1)

    def _move_focus(self, by: int) -> None:
        columns = self.columns
        if not columns:
            return
        column = columns[(columns.index(self._current()) + by) % len(columns)]
        column.display = True
        column.body.focus()
        self.call_after_refresh(self._arrange)

    def _current(self) -> ChatColumn:
        """The column with the focus, else the last one that is shown."""
        for column in self.columns:
            if column.has_focus_within:
                return column
        return self._shown()[-1]

    def _shown(self) -> list[ChatColumn]:
        return [column for column in self.columns if column.display]

    def _use_system(self, system: str) -> None:
        self._system = system
        for column in self.columns:
            column.use_system(system)

    def _shuffle(self) -> None:
        """Puts the columns in an order that nobody knows, and hides their names."""
        self._revealed = False
        parent, columns = self.query_one("#columns"), self.columns
        order = random.sample(columns, len(columns))
        for column in order:
            parent.move_child(column, after=-1)
        self._words = [column.target.word for column in order]
        self._arrange()

    def _voted(self, said: str | None) -> None:
        """Keeps what the vote says, and shows who was who."""
        if said is None:
            return
        self._revealed = True
        columns = self.columns
        best = None if said in (TIE, BAD) else columns[LETTERS.index(said)]
        others = [column for column in columns if column is not best and column.answer]
        try:
            self.afina.say(keep_vote(self.home, said, best, others))
        except AfinaError as error:
            self.afina.say(str(error), "error")
        self._arrange()

    def _obey(self, command: Command) -> None:
        """The words that begin with a slash; what forbids an action to a key forbids it to them."""
        word, rest = command
        if word not in WORDS:
            known = "/system TEXT  /set NAME=VALUE  /retry  /undo  /clear"
            self.afina.say(f'There is no "/{word}". There are {known}.', "warning")
            return
        if reason := self.why_not(WORDS[word]):
            self.afina.say(reason, "warning")
            return
        try:
            self._do(word, rest)
        except AfinaError as error:
            self.afina.say(str(error), "error")
            return
        self.query_one(PromptBox).clear()

    def _do(self, word: str, rest: str) -> None:
        """What a word of WORDS does. Raises AfinaError for a value that can't be set."""
        if word == "system":
            self._use_system(rest)
        elif word == "retry":
            self.action_again()
        elif word == "undo":
            for column in self.columns:
                column.undo()
        elif word == "clear":
            for column in self.columns:
                column.forget()
        else:
            self._sampling = change_sampling(self._sampling, rest)
            self._draw_facts()
