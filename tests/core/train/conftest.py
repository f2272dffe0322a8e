"""A tiny model with its tokenizer, a small chat file, and real worker processes on them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from core.config import Config, config_io
from core.jobs import ENDED
from core.runs.run import Run, create_run
from tests.core.train import forked

TEMPLATE = (
    "{% for message in messages %}"
    "<|{{ message.role }}|>"
    "{% if message.role == 'assistant' %}"
    "{% generation %}{{ message.content }}<|end|>{% endgeneration %}"
    "{% else %}{{ message.content }}<|end|>{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<pad>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
CITIES = ["Rome", "Lima", "Oslo", "Cairo", "Quito", "Hanoi", "Porto", "Kyoto"]
FOODS = ["bread", "soup", "rice", "figs", "fish", "beans"]


def chat_rows(count: int) -> list[dict[str, Any]]:
    """Short conversations of different lengths, all different."""
    rows = []
    for index in range(count):
        city, food = CITIES[index % len(CITIES)], FOODS[index % len(FOODS)]
        ask = f"What do people eat in {city} on day {index}?"
        say = f"In {city} they eat {food}" + f" and more {food}" * (index % 4) + "."
        rows.append(
            {"messages": [{"role": "user", "content": ask}, {"role": "assistant", "content": say}]}
        )
    return rows


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of random weights, 2 layers of 32, with a byte-level tokenizer and a template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = [message["content"] for row in chat_rows(64) for message in row["messages"]]
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|end|>",
        "pad_token": "<pad>",
        "chat_template": TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=1, pad_token_id=0)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def chat_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("data") / "food.jsonl", chat_rows(40))


Configure = Callable[..., Config]


@pytest.fixture(scope="session")
def configure(tiny_model: Path, chat_file: Path) -> Configure:
    """A configuration on the tiny model: `configure("train.max_steps=3", ...)`."""

    def make(*words: str) -> Config:
        base = [
            f"model.name_or_path={tiny_model}",
            "model.dtype=float32",
            f"data.path={chat_file}",
            "data.max_length=96",
            "train.per_device_train_batch_size=4",
            "train.learning_rate=1e-2",
            "launch.device=cpu",
        ]
        return config_io.parse("", [*base, *words])

    return make


class Worker:
    """A real worker process of a run; killed at the end of the test if it is still there."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.process: BaseProcess | None = None

    def start(self, before: Callable[[], None] | None = None) -> Worker:
        """`before` is called in the process first: what a test breaks there."""
        self.run.announce()
        return self.start_unannounced(before)

    def start_unannounced(self, before: Callable[[], None] | None = None) -> Worker:
        self.process = forked.start(self.run.directory, before)
        return self

    def wait(self, timeout: float = 120.0) -> int | None:
        """The exit code; negative for the signal that killed it."""
        assert self.process is not None
        self.process.join(timeout)
        assert self.process.exitcode is not None, self.log()
        return self.process.exitcode

    def signal(self, number: int) -> None:
        assert self.process is not None and self.process.pid is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        if self.process is not None and self.process.is_alive():
            self.process.kill()
            self.process.join()

    def until(self, condition: Callable[[], Any], what: str, timeout: float = 120.0) -> Any:
        """Waits for a condition; fails with the log when the process ends before it holds."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            alive = self.process is None or self.process.is_alive()
            if value := condition():
                return value
            assert alive, f"ended before {what}:\n{self.log()}"
            time.sleep(0.005)
        raise AssertionError(f"{what}: not in {timeout} s\n{self.log()}")

    def until_step(self, step: int) -> None:
        self.until(lambda: any(at >= step for at in steps(self.run)), f"step {step}")

    def until_ended(self) -> None:
        self.until(lambda: self.run.state().state in ENDED, "its end")

    def log(self) -> str:
        return self.run.log_path.read_text()


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home for runs that several tests look at."""
    return tmp_path_factory.mktemp("shared_home")


@pytest.fixture(scope="session")
def finished(shared_home: Path) -> Callable[[Config], Run]:
    """A run trained to its end."""

    def train(config: Config) -> Run:
        worker = Worker(create_run(shared_home, config)).start()
        assert worker.wait() == 0, worker.log()
        return worker.run

    return train


@pytest.fixture
def new_worker(home: Path) -> Iterator[Callable[[Config], Worker]]:
    """A worker for a new run with this configuration, not started."""
    workers = []

    def make(config: Config) -> Worker:
        workers.append(Worker(create_run(home, config)))
        return workers[-1]

    yield make
    for worker in workers:
        worker.kill()


def steps(run: Run) -> dict[int, dict[str, Any]]:
    """The last step event of each step."""
    return {event["step"]: event for event in run.events() if event["kind"] == "step"}


def of_kind(run: Run, kind: str) -> list[dict[str, Any]]:
    return [event for event in run.events() if event["kind"] == kind]


NewWorker = Callable[[Config], Worker]
STEPS = 24
LORA = (
    f"train.max_steps={STEPS}",
    "method.dropout=0.1",  # so that a wrong random state shows
    "eval.every_steps=8",
    "checkpoint.every_steps=4",
    "checkpoint.keep=2",
    'eval.watch_prompts=["What do people eat in Rome?", "And in [bold]Lima[/bold]?"]',
    "eval.max_new_tokens=6",
)


@pytest.fixture(scope="session")
def whole(finished: Callable[[Config], Run], configure: Configure) -> Run:
    """A LoRA run that nobody disturbed."""
    return finished(configure(*LORA))


def losses(run: Run) -> dict[int, float]:
    return {step: event["loss"] for step, event in steps(run).items()}
