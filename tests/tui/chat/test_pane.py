"""The Chat pane over models that answer as the test says; core/chat is tested on its own."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.events import Key
from textual.pilot import Pilot

from core.chat.client import ModelClient
from core.chat.protocol import Answer, Died, Failed, Loaded, Message, Sampling, Token
from core.runs.run import Run
from core.runs.target import Target
from tests.tui.homes import write_run
from tests.tui.pilots import lines_of, text_of, until
from tui.app import AfinaApp
from tui.chat import column as chat_column
from tui.chat.pane import ChatPane
from tui.widgets.prompt_box import PromptBox

WIDE, NARROW = (160, 45), (80, 24)


class FakeClient:
    """Says what the test put into `answers`; hands messages over from a thread, as a pipe does."""

    made: list[FakeClient] = []
    answers: dict[str, str] = {}  # by the target's label
    hold: threading.Event  # answers end once this is set

    def __init__(self, target: Target, on_message: Callable[[int, Message], None]) -> None:
        self.target = target
        self.loaded: Loaded | None = None
        self.alive = False
        self.closed = False
        self.asked: list[tuple[list[dict[str, Any]], Sampling]] = []
        self._on_message = on_message
        self._number = 0
        self._cancelled = False
        self.made.append(self)

    def start_load(self) -> int:
        self.alive = True
        self.loaded = Loaded(
            label=self.target.label, backend="transformers", parameters=4, context_length=512,
            load_s=0.1, stop_ids=[2], device="cpu", dtype="bfloat16", adapter=True,
        )  # fmt: skip
        return self._send([self.loaded])

    def start(self, messages: list[dict[str, Any]], sampling: Sampling) -> int:
        self.asked.append((messages, sampling))
        self._cancelled = False
        text = self.answers.get(self.target.label, "An answer.")
        if text == "crash":
            self.alive, self.loaded = False, None
            return self._send([Died(message="The model worker died.", hint="[b]last\x1b[1m line")])
        if text == "refuse":
            return self._send([Failed(message="The prompt is too long.", hint="Shorten it.")])
        pieces = [Token(text=word + " ", ids=[1]) for word in text.split(" ")]
        return self._send([*pieces, text])

    def cancel(self, request: int | None = None) -> None:
        self._cancelled = True
        FakeClient.hold.set()

    def close(self) -> None:
        self.closed = True

    def say(self, message: Message) -> None:
        threading.Thread(target=self._on_message, args=(self._number, message)).start()

    def _send(self, messages: list[Any]) -> int:
        self._number += 1
        number = self._number

        def run() -> None:
            for message in messages:
                if isinstance(message, str):
                    FakeClient.hold.wait(20)
                    reason = "cancelled" if self._cancelled else "stop"
                    message = Answer(
                        text=message, prompt_ids=[1] * 64, ids=[1, 2], finish_reason=reason,
                        prompt_tokens=64, first_token_s=0.21, tokens_per_s=38.1,
                    )  # fmt: skip
                self._on_message(number, message)

        threading.Thread(target=run, daemon=True).start()
        return number


@pytest.fixture(autouse=True)
def client(monkeypatch: pytest.MonkeyPatch) -> type[FakeClient]:
    FakeClient.made, FakeClient.answers = [], {}
    FakeClient.hold = threading.Event()
    FakeClient.hold.set()
    monkeypatch.setattr(chat_column, "ModelClient", FakeClient)
    return FakeClient


@pytest.fixture
def run(home: Path) -> Run:
    return write_run(home, "travel-lora", "done", at=40, result=True, checkpoints=(20, 40))


@asynccontextmanager
async def opened(
    home: Path, size: tuple[int, int] = WIDE, columns: int = 2, **options: bool
) -> AsyncIterator[tuple[AfinaApp, Pilot, ChatPane]]:
    app = AfinaApp(home, **options)
    app.first_pane = "chat"
    async with app.run_test(size=size, notifications=True) as pilot:
        pane = await until(pilot, lambda: app.pane, "the pane")
        assert isinstance(pane, ChatPane)
        await until(pilot, lambda: len(pane.columns) == columns, "the columns")
        await until(pilot, lambda: isinstance(app.focused, PromptBox), "the focus")
        yield app, pilot, pane


async def ask(pilot: Pilot, text: str) -> None:
    box = pilot.app.query_one(PromptBox)
    box.focus()
    box.text = text
    await pilot.press("enter")


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_base_and_tuned_answer_side_by_side(
    home: Path, run: Run, client: type[FakeClient], size: tuple[int, int]
) -> None:
    client.answers = {"travel-lora @ base": "Stay at a hotel.", "travel-lora": "Rome is calling!"}
    async with opened(home, size) as (app, pilot, _):
        await ask(pilot, "Where should I stay?")
        await until(pilot, lambda: text_of(app).count("tokens · stop") == 2, "both answers")
        row = next(line for line in lines_of(app) if "Stay at a hotel." in line)
        assert row.index("Stay at a hotel.") < size[0] / 2 < row.index("Rome is calling!")
        assert "base travel-lora · bfloat16 · cpu" in text_of(app)
        assert text_of(app).count("▌ Where should I stay?") == 2
        assert "38.1 tok/s · first 0.21 s" in text_of(app)
        assert pilot.app.query_one(PromptBox).text == ""


async def test_all_get_the_same_conversation_and_seed(
    home: Path, run: Run, client: type[FakeClient]
) -> None:
    async with opened(home) as (_, pilot, pane):
        pane._use_system("Be brief.")
        await ask(pilot, "One?")
        await until(pilot, lambda: all(column.answer for column in pane.columns), "the answers")
        await ask(pilot, "Two?")
        await until(pilot, lambda: all(len(fake.asked) == 2 for fake in client.made), "more")
        first, second = (fake.asked[1] for fake in client.made)
        assert first == second
        assert first[0] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "An answer."},
            {"role": "user", "content": "Two?"},
        ]


async def test_models_load_while_one_writes(home: Path, run: Run, client: type[FakeClient]) -> None:
    async with opened(home) as (_, pilot, _pane):
        assert not any(fake.alive for fake in client.made)
        await pilot.press("H", "i")
        await until(pilot, lambda: all(fake.alive for fake in client.made), "the loading")
        assert not any(fake.asked for fake in client.made)


async def test_what_a_model_says_is_text(home: Path, run: Run, client: type[FakeClient]) -> None:
    client.answers = {"travel-lora": "[bold red]x[/] \x1b[2J\x1b]0;title\x07"}
    async with opened(home) as (app, pilot, _):
        await ask(pilot, "[i]me[/i] \x1b[5m")
        await until(pilot, lambda: "[bold red]x[/] ␛[2J␛]0;title␇" in text_of(app), "the answer")
        assert "▌ [i]me[/i] ␛[5m" in text_of(app)


async def test_esc_stops_the_answers_and_keeps_what_there_is(
    home: Path, run: Run, client: type[FakeClient]
) -> None:
    client.hold.clear()
    async with opened(home) as (app, pilot, pane):
        await ask(pilot, "Go on for ever")
        await until(pilot, lambda: text_of(app).count("An answer.") == 2, "the tokens")
        assert pane.busy and "streaming" in text_of(app)
        await pilot.press("escape")
        await until(pilot, lambda: text_of(app).count("64 prompt tokens · stopped") == 2, "the end")
        assert not pane.busy


async def test_a_question_waits_for_the_answer_before(
    home: Path, run: Run, client: type[FakeClient]
) -> None:
    client.hold.clear()
    async with opened(home) as (app, pilot, _):
        await ask(pilot, "One?")
        await until(pilot, lambda: all(fake.asked for fake in client.made), "the question")
        await ask(pilot, "Two?")
        await until(pilot, lambda: "An answer is still coming" in text_of(app), "the refusal")
        assert app.query_one(PromptBox).text == "Two?"
        assert all(len(fake.asked) == 1 for fake in client.made)


@pytest.mark.parametrize("words", ["/undo", "/clear", "/retry", "/system Be brief."])
async def test_words_wait_for_the_answer_as_keys_do(
    home: Path, run: Run, client: type[FakeClient], words: str
) -> None:
    async with opened(home) as (app, pilot, pane):
        await ask(pilot, "One?")
        await until(pilot, lambda: all(column.answer for column in pane.columns), "the answers")
        client.hold.clear()
        system = pane.columns[0].history.system
        await ask(pilot, "Two?")
        await until(pilot, lambda: all(len(fake.asked) == 2 for fake in client.made), "more")
        await ask(pilot, words)
        await until(pilot, lambda: "An answer is still coming" in text_of(app), "the refusal")
        assert app.query_one(PromptBox).text == words
        client.hold.set()
        await until(pilot, lambda: not pane.busy, "the end")
        for column in pane.columns:
            assert [turn["role"] for turn in column.history.turns] == ["user", "assistant"] * 2
            assert column.history.system == system


async def test_undo_and_clear_without_a_question_say_so(home: Path, run: Run) -> None:
    async with opened(home) as (app, pilot, _):
        for words in ("/undo", "/clear", "/retry"):
            await ask(pilot, words)
            await until(pilot, lambda: "Nothing was asked yet." in text_of(app), "the reason")
            app.clear_notifications()


@pytest.mark.parametrize(("way", "left"), [("undo", ["One?", "An answer."]), ("forget", [])])
async def test_an_answer_is_dropped_when_its_question_is_gone(
    home: Path, run: Run, client: type[FakeClient], way: str, left: list[str]
) -> None:
    async with opened(home) as (app, pilot, pane):
        await ask(pilot, "One?")
        await until(pilot, lambda: all(column.answer for column in pane.columns), "the answers")
        client.hold.clear()
        client.answers = {"travel-lora": "Too late."}
        await ask(pilot, "Two?")
        await until(pilot, lambda: "Too late." in text_of(app), "the tokens")
        column, fake = pane.columns[1], client.made[1]
        getattr(column, way)()
        assert not column.busy
        client.answers = {"travel-lora": "Just so."}
        column.ask("Three?", Sampling())
        late = Answer(
            text="Too late.", prompt_ids=[1], ids=[1], finish_reason="cancelled",
            prompt_tokens=1, first_token_s=0.2, tokens_per_s=None,
        )  # fmt: skip
        fake._on_message(2, late)
        fake._on_message(2, Failed(message="Too late to fail.", hint=""))
        await until(pilot, lambda: column.answer == "Just so.", "the answer to the new question")
        words = [turn["content"] for turn in column.history.turns]
        assert words == [*left, "Three?", "Just so."]
        assert "Too late" not in text_of(app)


async def test_two_slashes_ask_with_one(home: Path, run: Run, client: type[FakeClient]) -> None:
    async with opened(home) as (_, pilot, _pane):
        await ask(pilot, "//etc/hosts, what is it?")
        await until(pilot, lambda: all(fake.asked for fake in client.made), "the question")
        assert client.made[0].asked[0][0][-1]["content"] == "/etc/hosts, what is it?"


async def test_a_crashed_worker_shows_its_last_lines_and_is_started_anew(
    home: Path, run: Run, client: type[FakeClient]
) -> None:
    client.answers = {"travel-lora": "crash"}
    async with opened(home) as (app, pilot, pane):
        await ask(pilot, "Hello?")
        await until(pilot, lambda: "▲ The model worker died." in text_of(app), "the crash")
        assert "[b]last␛[1m line" in text_of(app)
        await until(pilot, lambda: pane.columns[0].answer == "An answer.", "the other column")
        client.answers = {}
        await ask(pilot, "Again?")
        await until(pilot, lambda: pane.columns[1].answer == "An answer.", "the new worker")


async def test_a_refused_question_says_why(home: Path, run: Run, client: type[FakeClient]) -> None:
    client.answers = {"travel-lora": "refuse"}
    async with opened(home) as (app, pilot, _):
        await ask(pilot, "Hello?")
        await until(pilot, lambda: "▲ The prompt is too long." in text_of(app), "the reason")
        assert "Shorten it." in text_of(app)


async def test_again_asks_once_more_with_another_seed(
    home: Path, run: Run, client: type[FakeClient]
) -> None:
    async with opened(home) as (_, pilot, pane):
        await ask(pilot, "One?")
        await until(pilot, lambda: all(column.answer for column in pane.columns), "the answers")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: all(len(fake.asked) == 2 for fake in client.made), "again")
        (before, first), (after, second) = client.made[0].asked
        assert before == after
        assert first.seed != second.seed


async def test_a_vote_is_kept_as_a_row_for_dpo(
    home: Path, run: Run, client: type[FakeClient]
) -> None:
    client.answers = {"travel-lora @ base": "Stay at a hotel.", "travel-lora": "Rome is calling!"}
    async with opened(home) as (app, pilot, pane):
        pane._use_system("")
        await ask(pilot, "Where?")
        await until(pilot, lambda: all(column.answer for column in pane.columns), "the answers")
        await pilot.press("alt+v")
        await until(pilot, lambda: "Which answer is better?" in text_of(app), "the ballot")
        await pilot.press("b")
        path = home / "preferences.jsonl"
        await until(pilot, path.exists, "the row")
        assert json.loads(path.read_text()) == {
            "prompt": [{"role": "user", "content": "Where?"}],
            "chosen": [{"role": "assistant", "content": "Rome is calling!"}],
            "rejected": [{"role": "assistant", "content": "Stay at a hotel."}],
        }
        await until(pilot, lambda: "1 preference" in text_of(app), "the count")


async def test_a_vote_keeps_what_the_models_were_asked_with(
    home: Path, run: Run, client: type[FakeClient]
) -> None:
    client.answers = {"travel-lora": "Rome is calling!"}
    async with opened(home) as (_, pilot, pane):
        await ask(pilot, "/system Be brief.")
        await ask(pilot, "Where?")
        await until(pilot, lambda: all(column.answer for column in pane.columns), "the answers")
        await ask(pilot, "/system Be rude.")
        await pilot.press("alt+v", "b")
        path = home / "preferences.jsonl"
        await until(pilot, path.exists, "the row")
        assert json.loads(path.read_text())["prompt"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Where?"},
        ]


async def test_answers_to_different_questions_cannot_be_voted_on(
    home: Path, run: Run, client: type[FakeClient]
) -> None:
    async with opened(home) as (app, pilot, pane):
        for question, answer in (("One?", "An answer."), ("Two?", "refuse"), ("Three?", "Third.")):
            client.answers = {"travel-lora": answer}
            await ask(pilot, question)
            await until(pilot, lambda: not pane.busy, "the end")
        await ask(pilot, "/undo")
        await pilot.press("alt+v")
        await until(pilot, lambda: "to different questions" in text_of(app), "the reason")


@pytest.mark.parametrize(("key", "words"), [("=", "A tie"), ("-", "Both bad")])
async def test_a_tie_and_both_bad_leave_no_row(
    home: Path, run: Run, client: type[FakeClient], key: str, words: str
) -> None:
    client.answers = {"travel-lora": "Rome is calling!"}
    async with opened(home) as (app, pilot, pane):
        await ask(pilot, "Where?")
        await until(pilot, lambda: all(column.answer for column in pane.columns), "the answers")
        await pilot.press("alt+v", key)
        await until(pilot, lambda: words in text_of(app), "the words")
        assert not (home / "preferences.jsonl").exists()


async def test_blind_hides_who_is_who_until_the_vote(
    home: Path, run: Run, client: type[FakeClient]
) -> None:
    client.answers = {"travel-lora": "Rome is calling!"}
    async with opened(home) as (app, pilot, pane):
        await pilot.press("alt+g")
        await until(pilot, lambda: text_of(app).count("hidden until you vote") == 2, "blind")
        assert "travel-lora" not in "\n".join(lines_of(app)[1:-4])
        await ask(pilot, "Where?")
        await until(pilot, lambda: all(column.answer for column in pane.columns), "the answers")
        await pilot.press("alt+v", "a")
        await until(pilot, lambda: "hidden until you vote" not in text_of(app), "revealed")
        kept = json.loads((home / "preferences.jsonl").read_text())
        assert kept["chosen"][0]["content"] == pane.columns[0].answer


async def test_columns_are_added_and_taken_away(
    home: Path, run: Run, client: type[FakeClient]
) -> None:
    async with opened(home, (200, 45)) as (app, pilot, pane):
        await pilot.press("alt+a")
        await until(pilot, lambda: "add a column" in text_of(app), "the picker")
        await pilot.press(*"@20", "enter")
        await until(pilot, lambda: len(pane.columns) == 3, "the third column")
        assert pane.columns[2].target.word.endswith("@20")
        assert "╭─ C ─" in text_of(app)
        gone = client.made[2]
        pane.columns[2].body.focus()
        await pilot.press("x")
        await until(pilot, lambda: len(pane.columns) == 2 and gone.closed, "two columns")


async def test_a_target_that_is_not_there_says_so(home: Path, run: Run) -> None:
    async with opened(home) as (app, pilot, pane):
        pane.open_subject("no-such-run")
        await until(pilot, lambda: 'There is no run "no-such-run"' in text_of(app), "the reason")


async def test_a_home_without_a_model_says_what_to_do(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("core.samples.TINY_MODEL", tmp_path / "nothing")
    async with opened(home, NARROW, columns=0) as (app, _, _pane):
        assert "There is no model to talk to yet" in text_of(app)


async def test_workers_are_closed_when_the_app_goes(
    home: Path, run: Run, client: type[FakeClient]
) -> None:
    async with opened(home) as (_, pilot, pane):
        await ask(pilot, "Hello?")
        await until(pilot, lambda: all(column.answer for column in pane.columns), "the answers")
    assert all(fake.closed for fake in client.made)


async def test_words_with_a_slash_change_the_sampling(
    home: Path, run: Run, client: type[FakeClient]
) -> None:
    async with opened(home) as (app, pilot, pane):
        await ask(pilot, "/set temperature=0 max_tokens=12")
        await until(pilot, lambda: "greedy" in text_of(app), "the fact")
        await ask(pilot, "/set temprature=1")
        await until(pilot, lambda: 'Did you mean "temperature"?' in text_of(app), "the reason")
        await ask(pilot, "Hello?")
        await until(pilot, lambda: all(column.answer for column in pane.columns), "the answers")
        assert client.made[0].asked[0][1] == Sampling(temperature=0.0, max_tokens=12)


async def test_enter_sends_and_ctrl_j_breaks_the_line(
    home: Path, run: Run, client: type[FakeClient]
) -> None:
    async with opened(home) as (_, pilot, pane):
        await pilot.press(*"ab", "ctrl+j", "c", "enter")
        await until(pilot, lambda: all(fake.asked for fake in client.made), "the question")
        assert client.made[0].asked[0][0][-1]["content"] == "ab\nc"


async def test_a_key_with_alt_is_no_letter(home: Path, run: Run) -> None:
    async with opened(home) as (app, pilot, _):
        app.post_message(Key("alt+g", "g"))  # as the parser of a real terminal makes it
        await until(pilot, lambda: "hidden until you vote" in text_of(app), "the action")
        assert app.query_one(PromptBox).text == ""


async def test_a_narrow_terminal_shows_the_columns_one_by_one(home: Path, run: Run) -> None:
    async with opened(home, (64, 24)) as (app, pilot, pane):
        assert [column.display for column in pane.columns] == [True, False]
        await pilot.press("escape", "]")
        await until(pilot, lambda: not pane.columns[0].display, "the second column")
        assert "╭─ B ─" in text_of(app)


async def test_a_real_worker_that_is_killed_leaves_the_app_alive(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_column, "ModelClient", ModelClient)
    async with opened(home) as (app, pilot, pane):
        column = pane.columns[0]
        column.load()
        real = column._client
        await until(pilot, lambda: real.pid, "the process")
        os.kill(real.pid or 0, signal.SIGKILL)
        await until(pilot, lambda: "ended by SIGKILL" in text_of(app), "its last words")
        assert not pane.busy
