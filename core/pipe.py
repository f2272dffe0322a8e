"""JSON lines over stdin and stdout, for workers whose answers somebody waits for.

A request is {"id", "op", ...}; every answer is {"id", "kind", ...} and the last one of a request
has "end": true. {"op": "cancel", "target": id} may come at any time. What a handler returns is its
last answer (kind "done" unless it says otherwise); an AfinaError becomes {"kind": "error",
"message", "hint"}; a worker that ends leaves {"kind": "died", "message", "hint"} for every open
request.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from typing import Any, BinaryIO

import msgspec

from core.disk import takes_no_more, told
from core.errors import AfinaError
from core.paths import ROOT

Message = dict[str, Any]
GRACE_S = 2.0  # how long a worker may take to end once nobody listens
_TAIL_LINES = 40  # of stderr, kept for the message about a crash


class Request:
    """One request inside the worker: its fields, the wish to cancel it, a way to answer early."""

    def __init__(self, message: Message, send: Callable[[Message], None]) -> None:
        self.id: int = message["id"]
        self.op: str = str(message.get("op"))
        self.fields = {key: value for key, value in message.items() if key not in ("id", "op")}
        self.cancelled = threading.Event()
        self._send = send

    def send(self, kind: str, **fields: Any) -> None:
        """An answer that is not the last."""
        self._send({"id": self.id, "kind": kind, **fields})

    def finish(self, kind: str, fields: Message) -> None:
        self._send({"id": self.id, "kind": kind, **fields, "end": True})


Handler = Callable[[Request], Message | None]


def serve(handlers: Mapping[str, Handler], background: Container[str] = ()) -> int:
    """The worker's loop: answers requests until stdin ends; returns the exit code.

    One after another, but for the operations in `background`: each of those runs in its own thread.
    stdout is taken away from everyone else: what libraries print goes to stderr.
    """
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    _redirect()
    loop = _Loop(requests, answers)
    while (request := loop.next()) is not None:
        if request.op in background:
            threading.Thread(target=_work, args=(request, handlers, loop), daemon=True).start()
        else:
            _work(request, handlers, loop)
    return 0


def _work(request: Request, handlers: Mapping[str, Handler], loop: _Loop) -> None:
    _answer(request, handlers)
    loop.done(request)


def _redirect() -> None:
    """stdin reads nothing, stdout is stderr: the protocol has copies of both to itself."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdout.flush()
    os.dup2(2, 1)


def _answer(request: Request, handlers: Mapping[str, Handler]) -> None:
    if request.cancelled.is_set():
        request.finish("cancelled", {})
        return
    handler = handlers.get(request.op)
    try:
        if handler is None:
            raise AfinaError(f'The worker knows no request "{request.op}".')
        answer = dict(handler(request) or {})
        request.finish(answer.pop("kind", "done"), answer)
    except AfinaError as error:
        request.finish("error", {"message": error.message, "hint": error.hint})
    except Exception as error:  # the outermost frame of a worker: it says so and lives on
        traceback.print_exc()
        text, hint = f"{type(error).__name__}: {error}.", "This is a bug in Afina."
        if isinstance(error, OSError) and takes_no_more(error):
            text, hint = told(error)
        request.finish("error", {"message": text, "hint": hint})


class _Loop:
    """The worker's side: a thread reads, so that a cancel arrives while a handler runs."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO) -> None:
        self._answers, self._lock = answers, threading.Lock()
        self._queue: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._open: dict[int, Request] = {}
        threading.Thread(target=self._read, args=(requests,), daemon=True).start()

    def next(self) -> Request | None:
        """The next request; None when stdin has ended."""
        return self._queue.get()

    def done(self, request: Request) -> None:
        self._open.pop(request.id, None)

    def _read(self, requests: BinaryIO) -> None:
        for line in requests:
            message = _decode(line)
            if message is None or not isinstance(message.get("id"), int):
                continue
            if message.get("op") == "cancel":
                if target := self._open.get(message.get("target", -1)):
                    target.cancelled.set()
                continue
            request = Request(message, self._write)
            self._open[request.id] = request
            self._queue.put(request)
        self._end()

    def _end(self) -> None:
        """Nobody listens any more: cancel what runs, and leave even if it does not notice."""
        for request in list(self._open.values()):
            request.cancelled.set()
        self._queue.put(None)
        timer = threading.Timer(GRACE_S, os._exit, (0,))
        timer.daemon = True
        timer.start()

    def _write(self, message: Message) -> None:
        with self._lock, suppress(BrokenPipeError):
            self._answers.write(_encode(message) + b"\n")
            self._answers.flush()


class PipeWorker:
    """The app's side: one worker process, its answers, and its last words if it ends.

    `on_message` is called in a thread of its own with every answer to `request`; it must not raise.
    """

    def __init__(
        self,
        name: str,
        on_message: Callable[[Message], None] | None = None,
        *,
        command: list[str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._on_message = on_message or (lambda message: None)
        self._lock = threading.Lock()
        self._last_id = 0
        self._open: dict[int, Callable[[Message], None]] = {}  # request -> who wants its answers
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._closing = self._dead = False
        self.process = subprocess.Popen(
            command or [sys.executable, str(ROOT / "afina.py"), "worker", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            cwd=cwd,
            env=None if env is None else dict(env),
        )
        self._drain = threading.Thread(target=self._read_errors, daemon=True)
        self._drain.start()
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def alive(self) -> bool:
        return not self._dead and self.process.poll() is None

    def request(
        self, op: str, *, on_message: Callable[[Message], None] | None = None, **fields: Any
    ) -> int:
        """Sends a request and returns its id; the answers go to `on_message`, or the worker's."""
        return self._send(op, fields, on_message or self._on_message)

    def call(
        self,
        op: str,
        *,
        timeout: float | None = None,
        on_message: Callable[[Message], None] | None = None,
        interruptible: bool = False,
        **fields: Any,
    ) -> Message:
        """Sends a request and waits for its last answer; `on_message` gets those before it.

        Where it is `interruptible`, Ctrl+C cancels the request and its last answer is returned.
        Raises AfinaError for an error, the worker's death and after `timeout` seconds of silence.
        """
        answers: queue.SimpleQueue[Message] = queue.SimpleQueue()
        number = self._send(op, fields, answers.put)
        while True:
            try:
                message = answers.get(timeout=timeout)
                if not message.get("end"):
                    if on_message:
                        on_message(message)
                    continue
            except queue.Empty:
                self.cancel(number)
                raise AfinaError(
                    f'The {self.name} worker did not answer "{op}" within {timeout:g} s.'
                ) from None
            except KeyboardInterrupt:
                if not interruptible:
                    raise
                self.cancel(number)
                continue
            if message["kind"] in ("error", "died"):
                raise AfinaError(message["message"], message.get("hint", ""))
            return message

    def cancel(self, target: int) -> None:
        """Asks the worker to stop working on a request; its last answer still comes."""
        with self._lock, suppress(OSError, ValueError):
            self._last_id += 1
            self._put({"id": self._last_id, "op": "cancel", "target": target})

    def close(self, grace_s: float = GRACE_S + 1.0) -> None:
        """Ends the worker: by the end of its stdin, then by force."""
        self._closing = True
        deadline = time.monotonic() + grace_s
        # a send holds the lock for as long as a worker that reads nothing lets it wait
        if self._lock.acquire(timeout=grace_s):
            try:
                with suppress(OSError, ValueError):
                    self.process.stdin.close()  # type: ignore[union-attr]
            finally:
                self._lock.release()
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def __enter__(self) -> PipeWorker:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _send(self, op: str, fields: Message, wants: Callable[[Message], None]) -> int:
        with self._lock:
            self._last_id += 1
            number = self._last_id
            dead = self._dead
            if not dead:
                self._open[number] = wants
                with suppress(OSError, ValueError):  # the reading thread says that it died
                    self._put({"id": number, "op": op, **fields})
        if dead:
            wants(self._died(number))
        return number

    def _put(self, message: Message) -> None:
        stdin = self.process.stdin
        assert stdin is not None
        stdin.write(_encode(message) + b"\n")
        stdin.flush()

    def _read(self) -> None:
        stdout = self.process.stdout
        assert stdout is not None
        for line in stdout:
            message = _decode(line)
            if message is None:
                continue
            number = message.get("id", 0)
            with self._lock:
                take = self._open.pop if message.get("end") else self._open.get
                wants = take(number, None)
            if wants:
                wants(message)
        self._bury()

    def _bury(self) -> None:
        """The worker is gone: every open request learns it."""
        self.process.wait()
        self._drain.join(timeout=1.0)
        with self._lock:
            self._dead = True
            orphans, self._open = self._open, {}
        for number, wants in orphans.items():
            wants(self._died(number))

    def _died(self, number: int) -> Message:
        code = self.process.poll()
        if self._closing:
            why = "was closed"
        elif code is not None and code < 0:
            why = f"was ended by {_signal_name(-code)}"
        else:
            why = f"ended with exit code {code}"
        message = f"The {self.name} worker {why}."
        hint = "\n".join(list(self._tail)[-8:]) if not self._closing else ""
        return {"id": number, "kind": "died", "message": message, "hint": hint, "end": True}

    def _read_errors(self) -> None:
        stderr = self.process.stderr
        assert stderr is not None
        for line in stderr:
            self._tail.append(line[:2000].decode("utf-8", "replace").rstrip())


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _encode(message: Message) -> bytes:
    try:
        return msgspec.json.encode(message)
    except UnicodeEncodeError:  # a lone surrogate, as in a path that is not UTF-8
        return json.dumps(message).encode()


def _decode(line: bytes) -> Message | None:
    try:
        message = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        try:
            message = json.loads(line)
        except ValueError:
            return None
    return message if isinstance(message, dict) else None
