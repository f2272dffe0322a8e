"""Workers as processes: answers, cancelling, dying."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.chat.client import ModelClient
from core.chat.protocol import GREEDY, Answer, Died, Loaded, Message, Sampling, Token
from core.errors import AfinaError
from core.runs.target import Target

QUESTION = [{"role": "user", "content": "Where is Rome? ¿Qué se come?"}]
ENDLESS = Sampling(temperature=0.0, max_tokens=1_000_000)
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def endless(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model without a stop token and with a context that takes minutes to fill."""
    folder = tmp_path_factory.mktemp("endless")
    shutil.copytree(model, folder, dirs_exist_ok=True)
    (folder / "generation_config.json").unlink()
    for name, changes in {
        "config.json": {"max_position_embeddings": 10**6, "eos_token_id": None},
        "tokenizer_config.json": {"eos_token": None},
    }.items():
        values = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(values | changes))
    return folder


@pytest.fixture(scope="module")
def warm(endless: Path) -> Iterator[tuple[ModelClient, Inbox]]:
    """One process for all tests of transformers, which take seconds to import."""
    inbox = Inbox()
    with ModelClient(Target("a", "hf", str(endless)), inbox.take, threads=1) as client:
        yield client, inbox


class Inbox:
    """Messages as a screen gets them."""

    def __init__(self) -> None:
        self._messages: queue.Queue[tuple[int, Message]] = queue.Queue()

    def take(self, number: int, message: Message) -> None:
        self._messages.put((number, message))

    def next(self) -> tuple[int, Message]:
        return self._messages.get(timeout=LIMIT_S)

    def last_of(self, number: int) -> Message:
        """The message that ends a request."""
        while True:
            found, message = self.next()
            if found == number and not isinstance(message, Token):
                return message


def test_every_backend_reads_the_same_prompt_and_says_the_same_greedily(
    model: Path,
    gguf_file: Path,
    onnx_folder: Path,
    home: Path,
    warm: tuple[ModelClient, Inbox],
) -> None:
    client, _ = warm
    answers = []
    for kind, path in (("hf", model), ("onnx", onnx_folder), ("gguf", gguf_file)):
        client.target = Target(kind, kind, str(path))
        client.load()
        answers.append(client.generate(QUESTION, GREEDY))
    assert len({tuple(answer.prompt_ids) for answer in answers}) == 1
    assert len({(tuple(answer.ids), answer.text) for answer in answers}) == 1


def test_a_screen_may_ask_before_the_model_is_loaded(gguf_file: Path, home: Path) -> None:
    inbox = Inbox()
    target = Target("b", "gguf", str(gguf_file), label="tiny")
    with ModelClient(target, inbox.take, threads=1) as client:
        loading = client.start_load()
        asked = client.start(QUESTION, GREEDY)
        loaded = inbox.last_of(loading)
        assert isinstance(loaded, Loaded)
        assert loaded.label == "tiny"
        assert loaded.context_length == 256
        answer = inbox.last_of(asked)
        assert isinstance(answer, Answer)
        assert answer.prompt_tokens == len(answer.prompt_ids)


def test_cancel_ends_an_answer_that_would_go_on_for_minutes(
    endless: Path, home: Path, warm: tuple[ModelClient, Inbox]
) -> None:
    client, inbox = warm
    client.target = Target("a", "hf", str(endless))
    client.load()
    running = client.start(QUESTION, ENDLESS)
    waiting = client.start(QUESTION, ENDLESS)
    number, first = inbox.next()
    assert number == running
    assert isinstance(first, Token)
    client.cancel(running)
    client.cancel(waiting)
    for request in (running, waiting):
        answer = inbox.last_of(request)
        assert isinstance(answer, Answer)
        assert answer.finish_reason == "cancelled"
    assert client.alive


def test_an_interrupt_in_a_blocking_call_returns_what_was_said(
    endless: Path, home: Path, warm: tuple[ModelClient, Inbox]
) -> None:
    def interrupt(token: Token) -> None:
        if not heard:
            heard.append(token)
            signal.raise_signal(signal.SIGINT)

    heard: list[Token] = []
    client, _ = warm
    client.target = Target("a", "hf", str(endless))
    client.load()
    answer = client.generate(QUESTION, ENDLESS, on_token=interrupt)
    assert answer.finish_reason == "cancelled"
    assert answer.text.startswith(heard[0].text)


def test_a_killed_worker_is_reported_and_the_next_load_starts_another(
    gguf_file: Path, home: Path
) -> None:
    inbox = Inbox()
    with ModelClient(Target("b", "gguf", str(gguf_file)), inbox.take, threads=1) as client:
        client.load()
        assert client.pid is not None
        os.kill(client.pid, signal.SIGKILL)
        died = inbox.last_of(client.start(QUESTION))
        assert isinstance(died, Died)
        assert "SIGKILL" in died.message
        assert not client.alive
        assert client.generate(QUESTION, GREEDY).ids


def test_a_target_that_cannot_be_loaded_is_refused_with_a_sentence(
    tmp_path: Path, home: Path
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(64))
    with ModelClient(Target("b", "gguf", str(broken)), threads=1) as client:
        with pytest.raises(AfinaError, match=r"llama\.cpp can't open"):
            client.load()
        assert client.alive


def test_closing_ends_the_process(gguf_file: Path, home: Path) -> None:
    client = ModelClient(Target("b", "gguf", str(gguf_file)), threads=1)
    client.load()
    pid = client.pid
    assert pid is not None
    client.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
