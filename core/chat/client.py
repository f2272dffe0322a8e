"""A loaded model as the app sees it: one worker process that answers, can be cancelled and may die.

Blocking calls are for commands, jobs and tests; `start` and `start_load` are for screens, which get
every message in a thread of the pipe and hand it to their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from core.chat.backend import default_threads
from core.chat.protocol import (
    Answer,
    Died,
    Generate,
    Load,
    Loaded,
    LogProbs,
    Message,
    Sampling,
    Scores,
    Token,
)
from core.environment import worker_environment
from core.errors import AfinaError
from core.paths import home
from core.pipe import PipeWorker
from core.runs.run import active_runs
from core.runs.target import Target

OnMessage = Callable[[int, Message], None]
T = TypeVar("T", bound=Message)


class ModelClient:
    """One target in one worker process, which starts with the first request.

    `on_message(request id, message)` gets what `start` and `start_load` lead to: Loaded, Token,
    Answer, Failed or Died; it is called in the pipe's thread.
    """

    def __init__(
        self,
        target: Target,
        on_message: OnMessage | None = None,
        *,
        device: str = "auto",
        threads: int | None = None,
        dtype: str | None = None,
    ) -> None:
        self.target = target
        self.loaded: Loaded | None = None
        self._on_message = on_message
        self._device = device
        self._threads = threads
        self._dtype = dtype
        self._worker: PipeWorker | None = None
        self._newest = 0  # the last request that can be cancelled

    def load(self) -> Loaded:
        """Loads the model, in a new process if the last one died. Raises AfinaError."""
        return self._wait("load", self._load_request(), Loaded)

    def start_load(self) -> int:
        """Like load, without waiting; returns the request's id."""
        return self._start("load", self._load_request())

    def generate(
        self,
        messages: Sequence[dict[str, Any]] = (),
        sampling: Sampling | None = None,
        *,
        ids: Sequence[int] | None = None,
        tools: Sequence[dict[str, Any]] | None = None,
        adapter: bool | str = True,
        on_token: Callable[[Token], None] | None = None,
    ) -> Answer:
        """Answers a conversation, or goes on after ids, loading the model first where needed.

        Ctrl+C cancels and returns what there is. Raises AfinaError, also when the worker dies.
        """
        if self.loaded is None or not self.alive:
            self.load()
        request = self._generate_request(messages, sampling, ids, tools, adapter)
        return self._wait("generate", request, Answer, on_token)

    def start(
        self,
        messages: Sequence[dict[str, Any]] = (),
        sampling: Sampling | None = None,
        *,
        ids: Sequence[int] | None = None,
        tools: Sequence[dict[str, Any]] | None = None,
        adapter: bool | str = True,
    ) -> int:
        """Like generate, without waiting; returns the request's id. May follow start_load."""
        request = self._generate_request(messages, sampling, ids, tools, adapter)
        return self._start("generate", request)

    def log_probs(
        self,
        ids: Sequence[int],
        start: int = 1,
        *,
        adapter: bool | str = True,
        path: str | None = None,
    ) -> Scores:
        """log p of ids[start:]; with `path` the whole distributions go there, see LogProbs."""
        if self.loaded is None or not self.alive:
            self.load()
        request = LogProbs(ids=list(ids), start=start, adapter=adapter, path=path)
        return self._wait("log_probs", request, Scores)

    def cancel(self, request: int | None = None) -> None:
        """Stops what `start` began, else the newest of it; its Answer still comes, "cancelled"."""
        if self._worker is not None:
            self._worker.cancel(request or self._newest)

    @property
    def alive(self) -> bool:
        """Whether the worker process is there; it starts with the first request."""
        return self._worker is not None and self._worker.alive

    @property
    def pid(self) -> int | None:
        return self._worker.process.pid if self._worker is not None else None

    def close(self) -> None:
        """Ends the worker; waits some seconds for it, then kills it."""
        if self._worker is not None:
            self._worker.close()
        self._worker = self.loaded = None

    def __enter__(self) -> ModelClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _load_request(self) -> Load:
        return Load(
            target=self.target,
            device=self._device,
            threads=self._count_threads(),
            dtype=self._dtype,
        )

    def _generate_request(
        self,
        messages: Sequence[dict[str, Any]],
        sampling: Sampling | None,
        ids: Sequence[int] | None,
        tools: Sequence[dict[str, Any]] | None,
        adapter: bool | str,
    ) -> Generate:
        return Generate(
            messages=list(messages),
            sampling=sampling or Sampling(),
            ids=None if ids is None else list(ids),
            tools=None if tools is None else list(tools),
            adapter=adapter,
            threads=self._count_threads(),
        )

    def _count_threads(self) -> int:
        """What was asked for; else one while a run trains, which needs the other cores."""
        if self._threads is not None:
            return self._threads
        busy = next(active_runs(home()), None) is not None
        return 1 if busy else default_threads()

    def _start(self, op: str, request: msgspec.Struct) -> int:
        fields = msgspec.to_builtins(request)
        self._newest = self._process(op).request(op, on_message=self._hand_over, **fields)
        return self._newest

    def _hand_over(self, message: dict[str, Any]) -> None:
        read = _read(message)
        self._note(read)
        if self._on_message is not None:
            self._on_message(message["id"], read)

    def _wait(
        self,
        op: str,
        request: msgspec.Struct,
        kind: type[T],
        on_token: Callable[[Token], None] | None = None,
    ) -> T:
        """Sends a request and waits for its last message; anything but `kind` is an AfinaError."""

        def take(message: dict[str, Any]) -> None:
            if on_token is not None:
                on_token(msgspec.convert(message, Token))

        fields = msgspec.to_builtins(request)
        last = self._process(op).call(op, on_message=take, interruptible=kind is Answer, **fields)
        message = _read(last)
        self._note(message)
        if not isinstance(message, kind):
            raise AfinaError(f'The request "{op}" was cancelled.')
        return message

    def _note(self, message: Message) -> None:
        if isinstance(message, Loaded):
            self.loaded = message
        elif isinstance(message, Died):
            self.loaded = None

    def _process(self, op: str) -> PipeWorker:
        """The worker process; a new one for the first request and for a load after a death."""
        if self._worker is None or (op == "load" and not self._worker.alive):
            self._worker = PipeWorker("model", env=worker_environment())
        return self._worker


def _read(message: dict[str, Any]) -> Message:
    if message["kind"] == "cancelled":  # before the worker came to it
        return Answer(
            text="",
            prompt_ids=[],
            ids=[],
            finish_reason="cancelled",
            prompt_tokens=0,
            first_token_s=None,
            tokens_per_s=None,
        )
    return msgspec.convert(message, Message)
