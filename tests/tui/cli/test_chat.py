"""`afina chat`: its JSON is a contract, its text is content, and it talks in a terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from core.chat import client as chat_client
from core.chat.protocol import Answer, Token
from core.errors import AfinaError
from core.paths import ROOT
from tests.core.chat import tiny
from tui.cli.chat import chat

app = typer.Typer()
app.command()(chat)
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tiny.write_model(folder)
    tiny.write_gguf(folder, folder / "tiny.gguf")
    return folder / "tiny.gguf"


def run(*words: str, stdin: str | None = None) -> tuple[str, str]:
    """stdout and stderr of a command that must succeed."""
    result = CliRunner().invoke(app, list(words), input=stdin, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def test_json_is_one_list_with_an_object_per_target(gguf_file: Path, home: Path) -> None:
    word = str(gguf_file)
    out, _ = run(word, word, "--prompt", "Where is Rome?", "--greedy", "--json", "--threads", "1")
    answers = json.loads(out)
    assert [answer["target"] for answer in answers] == [word, word]
    assert set(answers[0]) == {
        "target",
        "adapter",
        "text",
        "prompt_ids",
        "ids",
        "finish_reason",
        "first_token_s",
        "tokens_per_s",
    }
    assert answers[0]["ids"] == answers[1]["ids"]
    assert answers[0]["finish_reason"] in ("stop", "length")


@pytest.fixture(scope="module")
def adapters(gguf_file: Path) -> list[str]:
    """Two adapters for it."""
    files = []
    for seed in (21, 22):
        folder = gguf_file.parent / f"adapter-{seed}"
        tiny.write_adapter(gguf_file.parent, folder, seed=seed)
        files.append(str(gguf_file.parent / f"voice-{seed}.gguf"))
        tiny.write_gguf_adapter(gguf_file.parent, folder, Path(files[-1]))
    return files


def test_each_of_several_adapters_answers_a_question(
    gguf_file: Path, adapters: list[str], home: Path
) -> None:
    asked = [str(gguf_file), "--prompt", "Where?", "--greedy", "--threads", "1"]
    named = [word for adapter in adapters for word in ("--adapter", adapter)]
    answers = json.loads(run(*asked, *named, "--json")[0])
    assert [answer["adapter"] for answer in answers] == adapters
    assert answers[0]["text"] != answers[1]["text"]
    alone = json.loads(run(*asked, *named[2:], "--json")[0])
    assert alone[0]["text"] == answers[1]["text"]
    out, _ = run(*asked, *named, "--max-tokens", "5")
    assert "-- tiny + voice-21\n" in out
    assert "-- tiny + voice-22\n" in out


def test_a_dash_reads_the_question_from_stdin(gguf_file: Path, home: Path) -> None:
    options = ["--greedy", "--json", "--threads", "1", "--system", "Be kind."]
    given, _ = run(str(gguf_file), "--prompt", "Where?", *options)
    piped, _ = run(str(gguf_file), "--prompt", "-", *options, stdin="Where?\n")
    assert json.loads(given)[0]["prompt_ids"] == json.loads(piped)[0]["prompt_ids"]


def test_the_answer_is_on_stdout_and_the_measures_on_stderr(gguf_file: Path, home: Path) -> None:
    asked = [str(gguf_file), "--prompt", "Where?", "--greedy", "--max-tokens", "5"]
    out, err = run(*asked, "--threads", "1")
    expected = json.loads(run(*asked, "--json", "--threads", "1")[0])[0]
    assert "tokens/s" in err
    assert "tokens/s" not in out
    assert len(out) == len(expected["text"]) + 1


def test_what_a_model_says_cannot_drive_the_terminal(
    gguf_file: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "\x1b]0;title\x07 [bold]Rome[/bold]\x9b31m"

    def answer(
        self: object,
        messages: object,
        sampling: object,
        adapter: bool | str,
        on_token: Callable[[Token], None] = lambda token: None,
    ) -> Answer:
        on_token(Token(text=said, ids=[1]))
        return Answer(
            text=said,
            prompt_ids=[1],
            ids=[1],
            finish_reason="stop",
            prompt_tokens=1,
            first_token_s=0.1,
            tokens_per_s=None,
        )

    monkeypatch.setattr(chat_client.ModelClient, "load", lambda self: None)
    monkeypatch.setattr(chat_client.ModelClient, "generate", answer)
    out, _ = run(str(gguf_file), "--prompt", "Where?")
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "␛]0;title␇ [bold]Rome[/bold]" in out
    out, _ = run(str(gguf_file), "--prompt", "Where?", "--json")
    assert out.strip().isprintable()
    assert json.loads(out)[0]["text"] == said


def test_without_a_question_and_a_terminal_it_says_what_to_give(
    gguf_file: Path, home: Path
) -> None:
    with pytest.raises(AfinaError, match="Give --prompt TEXT"):
        run(str(gguf_file))


@pytest.mark.parametrize(("question", "words"), [(" \n", "is empty"), ("\udcff", "not UTF-8")])
def test_a_question_that_is_none_is_refused(home: Path, question: str, words: str) -> None:
    with pytest.raises(AfinaError, match=words):
        run(str(ROOT / "sample_data" / "tiny-travel"), "--prompt", question)


def test_a_target_that_is_not_there_is_named_before_anything_is_loaded(
    gguf_file: Path, home: Path
) -> None:
    with pytest.raises(AfinaError, match='"nowhere.gguf"'):
        run(str(gguf_file), "nowhere.gguf", "--prompt", "Where?")


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, *words: str) -> None:
        self.seen = ""
        self._screen, inside = pty.openpty()
        code = "import afina, typer; from tui.cli.chat import chat; typer.run(chat)"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *words],
            cwd=ROOT,
            stdin=inside,
            stdout=inside,
            stderr=inside,
            start_new_session=True,
        )
        os.close(inside)

    def type(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def wait_for(self, text: str, times: int = 1) -> None:
        deadline = time.monotonic() + LIMIT_S
        while self.seen.count(text) < times:
            left = deadline - time.monotonic()
            assert left > 0, f"no {text!r} in {self.seen!r}"
            if select.select([self._screen], [], [], left)[0]:
                self.seen += os.read(self._screen, 4096).decode("utf-8", errors="replace")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._screen)


def test_a_conversation_answers_goes_back_and_ends(gguf_file: Path, home: Path) -> None:
    terminal = Terminal(str(gguf_file), "--greedy", "--max-tokens", "4", "--threads", "1")
    try:
        terminal.wait_for("> ")
        terminal.type("Where?\n")
        terminal.wait_for("4 tokens", 1)
        terminal.type("/retry\n")
        terminal.wait_for("4 tokens", 2)
        terminal.type("/undo\n/wat\n")
        terminal.wait_for('There is no command "/wat"')
        terminal.type("/retry\n//undo\n")  # nothing is open to be answered; a question
        terminal.wait_for("4 tokens", 3)
        terminal.type("/quit\n")
        assert terminal.process.wait(LIMIT_S) == 0
    finally:
        terminal.close()


def test_a_conversation_changes_its_adapter(
    gguf_file: Path, adapters: list[str], home: Path
) -> None:
    words = [str(gguf_file), "--greedy", "--max-tokens", "4", "--threads", "1"]
    terminal = Terminal(*words, "--adapter", adapters[0], "--adapter", adapters[1])
    try:
        terminal.wait_for("> ")
        terminal.type("/adapter voice-22\n")
        terminal.wait_for("tiny + voice-22 answers from here on.")
        terminal.type("Where?\n")
        terminal.wait_for("4 tokens", 1)
        terminal.type("/adapter voice-23\n")
        terminal.wait_for("There are: voice-21, voice-22.")
        terminal.type("/adapter none\n/retry\n")
        terminal.wait_for("tiny answers from here on.")
        terminal.wait_for("4 tokens", 2)
        terminal.type("/quit\n")
        assert terminal.process.wait(LIMIT_S) == 0
    finally:
        terminal.close()
