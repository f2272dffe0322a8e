"""One column of the Chat pane: a target, the worker that holds it, and the conversation with it."""

from __future__ import annotations

import threading
import time

from rich.text import Text
from textual.app import ComposeResult
from textual.message import Message
from textual.timer import Timer

from core.chat.client import ModelClient
from core.chat.history import History
from core.chat.history import Message as Turn
from core.chat.protocol import Answer, Died, Failed, Loaded, Sampling, Token
from core.chat.protocol import Message as ModelMessage
from core.data.escape import visible
from core.figures import duration
from core.runs.target import Target
from tui.theme import BLUE, SECONDARY, TEAL, Symbols
from tui.widgets.frame import Frame, Words
from tui.widgets.live_text import LiveText

TICK_S = 1.0  # while a model loads, its seconds are counted


class ChatColumn(Frame):
    """Asks, streams, tells. Its states: idle, loading, answering."""

    class Changed(Message):
        """The column begins or ends to be busy, or has a model now."""

    class Said(Message):
        """What the worker sent, on its way from the pipe's thread."""

        def __init__(self, column: ChatColumn, request: int, said: ModelMessage) -> None:
            super().__init__()
            self.column = column
            self.request = request
            self.said = said

    def __init__(self, target: Target, symbols: Symbols, system: str = "", **options) -> None:  # noqa: ANN003
        super().__init__(**options)
        self.target = target
        self.history = History(system)
        self._measures: dict[int, str] = {}  # under the answers, by turn
        self._prompts: dict[int, list[Turn]] = {}  # what the answers were given to, by turn
        self._symbols = symbols
        self._client = ModelClient(target, self._hear)
        self._state = "idle"
        self._letter = ""
        self._hidden = False
        self._sampling = Sampling()
        self._waits = False  # a question, for the model
        self._question: Turn = {}  # that is being answered
        self._prompt: list[Turn] = []  # what the model was asked with
        self._request: int | None = None  # whose tokens are drawn
        self._load: int | None = None
        self._since = 0.0
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Words(classes="chat-name")
        yield LiveText(symbols=self._symbols)

    def on_mount(self) -> None:
        self._draw_name()
        self._draw_conversation()

    def on_unmount(self) -> None:
        self.close()

    @property
    def busy(self) -> bool:
        """Whether an answer is on its way; a model that loads ahead of a question is not."""
        return self._state == "answering" or self._waits

    @property
    def answer(self) -> str:
        """The answer to the last question; empty while there is none."""
        turns = self.history.turns
        return turns[-1]["content"] if turns and turns[-1]["role"] == "assistant" else ""

    @property
    def prompt(self) -> list[Turn]:
        """What the model was asked for that answer, as it was then; empty while there is none."""
        return self._prompts[len(self.history.turns) - 1] if self.answer else []

    @property
    def body(self) -> LiveText:
        return self.query_one(LiveText)

    def close(self) -> None:
        """Ends the worker without waiting for it: it leaves once its pipe is closed."""
        threading.Thread(target=self._client.close, daemon=True).start()

    def name_as(self, letter: str, hidden: bool) -> None:
        """Its letter; with `hidden` nothing else of its name is shown."""
        self._letter, self._hidden = letter, hidden
        if self.is_mounted:
            self._draw_name()

    def use_system(self, system: str) -> None:
        self.history.system = system
        self._draw_conversation()

    def load(self) -> None:
        """Loads the model ahead of the first question."""
        if self._state == "idle" and not self._ready:
            self._begin_loading()

    def ask(self, text: str, sampling: Sampling) -> None:
        """Adds a question and answers it, loading the model first where needed."""
        self._give_up()
        self.history.ask(text)
        self._draw_conversation()
        self._answer_last(sampling)

    def again(self, sampling: Sampling) -> None:
        """Answers the last question anew."""
        self._give_up()
        if self.history.retry() is not None:
            self._draw_conversation()
            self._answer_last(sampling)

    def undo(self) -> None:
        """Takes the last question and its answer back, also one that is still coming."""
        self._give_up()
        self.history.undo()
        self._draw_conversation()

    def forget(self) -> None:
        """Starts the conversation over; an answer that is still coming is given up."""
        self._give_up()
        self.history.clear()
        self._draw_conversation()

    def stop(self) -> None:
        """Stops the answer; one that waits for the model is given up."""
        if self._state == "answering":
            self._client.cancel(self._request)
        elif self._waits:
            self._waits = False
            self.body.block("note", "stopped before the model was loaded")

    def on_chat_column_said(self, message: Said) -> None:
        message.stop()
        said = message.said
        if isinstance(said, Token):
            if message.request == self._request:
                self.body.write(said.text)
        elif isinstance(said, Loaded):
            self._loaded()
        elif isinstance(said, Answer):
            if message.request == self._request:
                self._answered(said)
        elif isinstance(said, Failed | Died) and message.request in (self._request, self._load):
            self._failed(said)

    def _hear(self, request: int, said: ModelMessage) -> None:
        """Called in the pipe's thread."""
        self.post_message(self.Said(self, request, said))

    @property
    def _ready(self) -> bool:
        return self._client.loaded is not None and self._client.alive

    def _give_up(self) -> None:
        """Lets go of the answer that is on its way: its question is about to change."""
        self._waits = False
        if self._state == "answering":
            self._client.cancel(self._request)
            self._request = None
            self.body.growing = False
            self._enter("idle")

    def _answer_last(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._waits = True
        if self._ready:
            self._begin_answer()
        elif self._state != "loading":
            self._begin_loading()

    def _begin_loading(self) -> None:
        self._enter("loading")
        self._timer = self.set_interval(TICK_S, self._draw_state)
        self._load = self._client.start_load()

    def _loaded(self) -> None:
        self._load = None
        self._enter("idle")
        self._draw_name()
        if self._waits:
            self._begin_answer()

    def _begin_answer(self) -> None:
        question = self.history.question
        assert question is not None
        self._waits, self._question, self._prompt = False, question, self.history.messages
        self.body.block("text", "")
        self.body.growing = True
        self._enter("answering")
        self._request = self._client.start(self._prompt, self._sampling)

    def _answered(self, answer: Answer) -> None:
        self.body.growing = False
        wanted = answer.text or answer.finish_reason != "cancelled"
        if wanted and self.history.answer(self._question, answer.text):
            at = len(self.history.turns) - 1
            self._measures[at] = measures(answer, self._symbols)
            self._prompts[at] = self._prompt
        self._request = None
        self._draw_conversation()
        self._enter("idle")

    def _failed(self, said: Failed | Died) -> None:
        """Shows what went wrong in this column; the next question starts a worker anew."""
        self.body.growing = False
        self._waits, self._request, self._load = False, None, None
        self.body.block("text", "")
        self.body.block("error", f"{self._symbols.problem} {said.message}")
        if said.hint:
            self.body.block("note", said.hint)
        self._enter("idle")

    def _enter(self, state: str) -> None:
        self._state = state
        self._since = time.monotonic()
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        self._draw_state()
        self.post_message(self.Changed())

    def _draw_state(self) -> None:
        words = {"loading": "loading", "answering": "streaming"}.get(self._state, "")
        if self._state == "loading":
            words += f" {duration(time.monotonic() - self._since)}"
        self.set_facts(words)

    def _draw_name(self) -> None:
        self.set_title(self._letter)
        self.query_one(Words).update(self._who())

    def _who(self) -> Text:
        """base tiny-travel, or travel-lora adapter · cpu."""
        if self._hidden:
            return Text("hidden until you vote", SECONDARY)
        name, _, point = self.target.label.partition(" @ ")
        loaded = self._client.loaded
        facts = [loaded.dtype, loaded.device] if loaded else []
        if point == "base":
            first, color = "base", BLUE
            facts.insert(0, name)
        elif self.target.adapter is None and self.target.kind == "hf" and not self.target.run:
            first, color = name, BLUE
        else:
            first, color = name, TEAL
            facts = ([point] if point else []) + facts
        if self.target.kind != "hf":
            facts.insert(0, self.target.kind)
        line = Text.assemble((visible(first), f"bold {color}"), no_wrap=True, overflow="ellipsis")
        dot = f" {self._symbols.dot} "
        return line.append(f" {visible(dot.join(facts))}", SECONDARY)

    def _draw_conversation(self) -> None:
        """The whole conversation as blocks; an answer that streams is appended to them."""
        if not self.is_mounted:
            return
        blocks: list[tuple[str, str]] = []
        if self.history.system:
            blocks += [("line", f"system: {' '.join(self.history.system.split())}"), ("text", "")]
        for index, turn in enumerate(self.history.turns):
            if turn["role"] == "user":
                blocks += [("prompt", turn["content"]), ("text", "")]
                continue
            blocks += [("text", turn["content"]), ("text", "")]
            blocks += [("note", self._measures.get(index, "")), ("text", "")]
        self.body.blocks(blocks)


def measures(answer: Answer, symbols: Symbols) -> str:
    """38.1 tok/s · first 0.21 s · 64 prompt tokens · stop."""
    facts = []
    if answer.tokens_per_s is not None:
        facts.append(f"{answer.tokens_per_s:.1f} tok/s")
    if answer.first_token_s is not None:
        facts.append(f"first {answer.first_token_s:.2f} s")
    if answer.prompt_tokens:
        facts.append(f"{answer.prompt_tokens} prompt tokens")
    facts.append({"cancelled": "stopped", "length": "cut at the longest length"}.get(
        answer.finish_reason, answer.finish_reason))  # fmt: skip
    return f" {symbols.dot} ".join(facts)
