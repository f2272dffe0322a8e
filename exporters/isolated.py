"""Running llama.cpp or onnxruntime in a process of its own, which can be killed and may crash.

Their calls can't be interrupted, and a crash takes the process along. The work says what it has to
say as messages; what the listener raises (a cancel) ends the process first.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from core.disk import takes_no_more, told
from core.errors import AfinaError

POLL_S = 0.2  # how long a cancel may wait
Send = Callable[..., None]


def run_aside(
    work: Callable[..., None],
    arguments: tuple[Any, ...],
    on_message: Callable[..., None],
    on_wait: Callable[[], None] = lambda: None,
) -> None:
    """Calls `work(send, *arguments)` in another process; `on_message` gets what it sends.

    `work` must be importable by name. `on_wait` is called several times a second. Raises AfinaError
    with the reason when the work raises one or its process ends without a last word.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_begin, args=(work, theirs, arguments))
    process.start()
    theirs.close()
    try:
        finished = _listen(ours, on_message, on_wait)
        process.join()
    finally:
        if process.is_alive():
            process.kill()
            process.join()
        ours.close()
    if not finished:
        raise AfinaError(
            f"The process of {work.__module__} {_how(process.exitcode)} without a last word.",
            "Look at the free memory and disk, and at log.txt.",
        )


def _listen(pipe: Connection, on_message: Callable[..., None], on_wait: Callable[[], None]) -> bool:
    """Hands on messages until the process ends; whether it said that it was through."""
    while True:
        on_wait()
        if not pipe.poll(POLL_S):
            continue
        try:
            kind, values = pipe.recv()
        except EOFError:
            return False
        if kind == "end":
            return True
        if kind == "error":
            raise AfinaError(*values)
        on_message(*values)


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _begin(work: Callable[..., None], pipe: Connection, arguments: tuple[Any, ...]) -> None:
    """The other process, from its start to its end."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work(lambda *values: pipe.send(("message", values)), *arguments)
        pipe.send(("end", ()))
    except AfinaError as error:
        pipe.send(("error", (error.message, error.hint)))
    except BrokenPipeError:
        pass
    except Exception as error:  # the outermost frame of a worker
        traceback.print_exc()
        words = (f"{type(error).__name__}: {error}.", "This is a bug in Afina.")
        if isinstance(error, OSError) and takes_no_more(error):
            words = told(error)
        pipe.send(("error", words))
    pipe.close()
    os._exit(0)  # llama.cpp's threads must not outlive the callbacks of its log


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
