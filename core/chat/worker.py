"""The process behind one loaded model: answers the requests of core/chat/protocol.py."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from core.chat import generation
from core.chat.backend import Backend, Interrupted, open_backend
from core.chat.protocol import Generate, Load, LogProbs, Token
from core.errors import AfinaError
from core.pipe import Message, Request, serve

T = TypeVar("T")


class ModelWorker:
    """Holds one model at a time; loading another lets go of the first."""

    def __init__(self) -> None:
        self._backend: Backend | None = None

    def load(self, request: Request) -> Message:
        self.close()
        self._backend = open_backend(_read(request, Load))
        return msgspec.to_builtins(self._backend.loaded)

    def generate(self, request: Request) -> Message:
        def send(token: Token) -> None:
            request.send("token", text=token.text, ids=token.ids)

        wanted = _read(request, Generate)
        answer = generation.answer(self._loaded(), wanted, request.cancelled.is_set, send)
        return msgspec.to_builtins(answer)

    def log_probs(self, request: Request) -> Message:
        wanted = _read(request, LogProbs)
        try:
            scores = generation.scores(self._loaded(), wanted, request.cancelled.is_set)
        except Interrupted:
            return {"kind": "cancelled"}
        return msgspec.to_builtins(scores)

    def unload(self, request: Request) -> Message:
        self.close()
        return {}

    def close(self) -> None:
        if self._backend is not None:
            self._backend.close()
        self._backend = None

    def _loaded(self) -> Backend:
        if self._backend is None:
            raise AfinaError("No model is loaded.", "Load one first.")
        return self._backend


def main() -> int:
    """Serves until the app goes; returns the exit code."""
    worker = ModelWorker()
    handlers: dict[str, Any] = {
        "load": worker.load,
        "generate": worker.generate,
        "log_probs": worker.log_probs,
        "unload": worker.unload,
    }
    try:
        return serve(handlers)
    finally:
        worker.close()  # llama.cpp aborts when it is unloaded with a model open


def _read(request: Request, kind: type[T]) -> T:
    """The request's fields as their struct, so that bounds are checked where they are used."""
    try:
        return msgspec.convert(request.fields, kind)
    except msgspec.ValidationError as error:
        raise AfinaError(f'The request "{request.op}" is not valid: {error}.') from error
