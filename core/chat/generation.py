"""One answer from the request to its last token, alike for all backends; log probabilities."""

from __future__ import annotations

import time
from collections.abc import Callable

from core.chat.backend import Backend, Cancelled, Interrupted
from core.chat.protocol import Answer, Generate, LogProbs, Scores, Token
from core.chat.sampling import Sampler
from core.chat.stream import TextStream
from core.errors import AfinaError

FLUSH_S = 0.06  # tokens are sent some 16 times a second; a screen draws no faster
LOWEST = -1e4  # log p of what a model excludes; JSON has no infinity


def answer(
    backend: Backend,
    request: Generate,
    cancelled: Cancelled,
    on_token: Callable[[Token], None],
) -> Answer:
    """Answers one request. Raises AfinaError when the prompt can't be read."""
    clock = Clock()
    backend.use_adapter(request.adapter)
    if request.threads is not None:
        backend.use_threads(request.threads)
    if request.ids is not None:
        backend.forget()
    ids = request.ids
    if ids is None:
        ids = backend.prompt(request.messages, request.tools)
    if not ids:
        raise AfinaError("The prompt has no tokens.", "Write something first.")
    _check_length(len(ids) + 1, backend.loaded.context_length)
    writer = Writer(backend, on_token)
    try:
        reason = _generate(backend, request, ids, cancelled, writer, clock)
    except Interrupted:
        reason = "cancelled"
    writer.finish()
    return Answer(
        text=writer.text,
        prompt_ids=ids,
        ids=writer.ids,
        finish_reason=reason,
        prompt_tokens=len(ids),
        first_token_s=clock.first_token_s,
        tokens_per_s=clock.tokens_per_s,
    )


def _generate(
    backend: Backend,
    request: Generate,
    ids: list[int],
    cancelled: Cancelled,
    writer: Writer,
    clock: Clock,
) -> str:
    """Generates until something ends it; returns the reason. Raises Interrupted."""
    sampler = Sampler(request.sampling)
    room = min(request.sampling.max_tokens, backend.loaded.context_length - len(ids))
    logits = backend.read(ids, cancelled)
    for left in range(room, 0, -1):
        token = sampler.pick(logits)
        clock.tick()
        if token in backend.loaded.stop_ids:
            writer.ids.append(token)
            return "stop"
        writer.push(token)
        if left > 1:
            if cancelled():
                return "cancelled"
            logits = backend.step(token)
    return "length"


def scores(backend: Backend, request: LogProbs, cancelled: Cancelled) -> Scores:
    """log p of given ids. Raises AfinaError for a start that lies outside, and Interrupted."""
    import numpy as np

    if not 1 <= request.start <= len(request.ids):
        raise AfinaError(
            f"Log probabilities can't start at token {request.start} of {len(request.ids)}.",
            "The first token has none, since nothing stands before it.",
        )
    _check_length(len(request.ids), backend.loaded.context_length)
    backend.use_adapter(request.adapter)
    log_p = backend.logits(request.ids, request.start, cancelled)  # (positions + 1, vocabulary)
    log_p -= log_p.max(axis=-1, keepdims=True)  # in place: it may be most of the memory
    log_p -= np.log(np.exp(log_p).sum(axis=-1, keepdims=True))
    np.maximum(log_p, LOWEST, out=log_p)
    if request.path:
        np.save(request.path, log_p)
    asked = request.ids[request.start :]
    return Scores(
        values=log_p[np.arange(len(asked)), asked].tolist(),
        likeliest=log_p[: len(asked)].argmax(axis=-1).tolist(),
    )


class Writer:
    """Collects the answer and sends it in pieces, the first at once."""

    def __init__(self, backend: Backend, on_token: Callable[[Token], None]) -> None:
        self.ids: list[int] = []
        self.text = ""
        self._stream = TextStream(backend.decode)
        self._on_token = on_token
        self._piece = ""
        self._sent = 0  # ids that were sent
        self._last = 0.0

    def push(self, token: int) -> None:
        self.ids.append(token)
        self._piece += self._stream.push(token)
        if self._piece and time.monotonic() - self._last >= FLUSH_S:
            self._flush()

    def finish(self) -> None:
        self._piece += self._stream.finish()
        if self._piece:
            self._flush()

    def _flush(self) -> None:
        self.text += self._piece
        self._on_token(Token(text=self._piece, ids=self.ids[self._sent :]))
        self._sent, self._piece, self._last = len(self.ids), "", time.monotonic()


class Clock:
    """When the first token came and how fast the others did."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._count = 0
        self.first_token_s: float | None = None

    def tick(self) -> None:
        self._last = time.perf_counter()
        self._count += 1
        if self.first_token_s is None:
            self.first_token_s = round(self._last - self._start, 4)
            self._first = self._last

    @property
    def tokens_per_s(self) -> float | None:
        if self._count < 2 or self._last == self._first:
            return None
        return round((self._count - 1) / (self._last - self._first), 1)


def _check_length(count: int, context_length: int) -> None:
    if count > context_length:
        raise AfinaError(
            f"This takes {count:,} tokens, and the model's context holds {context_length:,}.",
            "Shorten the conversation, or start a new one.",
        )
