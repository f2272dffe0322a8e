"""A measurement in a child that is forked for it, so that each begins with the same memory.

The child is the first that the system ends when memory runs out, and it is ended before that:
at a limit of its own. Its end for want of memory is an outcome, not an error.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from core.errors import AfinaError
from core.train import memory
from core.train.memory import resident_bytes

LOOK_EVERY_S = 0.05
_DIE_WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG (linux/prctl.h)
FAULT = "This is a fault of Afina or of a library; `afina doctor` shows their versions."
NO_MEMORY, TOO_LATE, CANCELLED = "no_memory", "too_late", "cancelled"


class Limits(msgspec.Struct, frozen=True):
    """What a child may take."""

    resident_bytes: int | None  # of its memory; None where the device's own limit is the one
    seconds: float


class Outcome(msgspec.Struct, frozen=True):
    """What became of it: a result, or why there is none."""

    result: Any = None
    ended: str = ""  # NO_MEMORY, TOO_LATE or CANCELLED
    bytes_seen: int = 0  # the most memory that was seen of it


def run(work: Callable[[], Any], limits: Limits, cancelled: Callable[[], bool]) -> Outcome:
    """Runs `work` in a child and returns what it gives back, as plain values.

    Raises AfinaError where the child fails in another way than for want of memory or time.
    """
    reading, writing = os.pipe()
    mapped = resident_bytes("RssFile") or 0
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _child(work, writing, mapped)
    os.close(writing)
    try:
        answer, ended, seen = _watch(child, reading, limits, cancelled)
    finally:
        os.close(reading)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if ended:
        return Outcome(ended=ended, bytes_seen=seen)
    if not answer:
        return _without_a_word(status, seen)
    values = msgspec.json.decode(answer)
    if "message" in values:
        raise AfinaError(values["message"], values["hint"])
    return Outcome(values.get("result"), values.get("ended", ""), seen)


def _child(work: Callable[[], Any], writing: int, mapped: int) -> None:
    """The child's whole life; never returns. `mapped`: bytes of files in the parent's memory."""
    code = 1
    try:
        _give_way()
        memory.count_mapped(mapped)
        os.write(writing, msgspec.json.encode(_answer(work)))
        code = 0
    finally:
        os._exit(code)  # nothing of the parent's is to be closed or flushed here


def _answer(work: Callable[[], Any]) -> dict[str, Any]:
    from core.train.recovery.overrides import is_out_of_memory

    try:
        return {"result": msgspec.to_builtins(work())}
    except AfinaError as error:
        return {"message": error.message, "hint": error.hint}
    except Exception as error:  # noqa: BLE001 - the outermost frame of the child
        if is_out_of_memory(error):
            return {"ended": NO_MEMORY}
        traceback.print_exc()
        first = (str(error).strip().splitlines() or ["no message"])[0][:300].rstrip(".")
        return {"message": f"{type(error).__name__}: {first}.", "hint": FAULT}


def _give_way() -> None:
    """The system ends this process before any other, and with its parent."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def _watch(
    child: int, reading: int, limits: Limits, cancelled: Callable[[], bool]
) -> tuple[bytes, str, int]:
    """(the child's answer, why it was ended, the most memory seen of it)"""
    deadline = time.monotonic() + limits.seconds
    status, seen, answer = Path(f"/proc/{child}/status"), 0, b""
    while True:
        ready, _, _ = select.select([reading], [], [], LOOK_EVERY_S)
        if ready:
            part = os.read(reading, 1 << 16)
            if not part:
                return answer, "", seen
            answer += part
        seen = max(seen, resident_bytes(status=status) or 0)
        if limits.resident_bytes is not None and seen > limits.resident_bytes:
            return b"", NO_MEMORY, seen
        if time.monotonic() > deadline:
            return b"", TOO_LATE, seen
        if cancelled():
            return b"", CANCELLED, seen


def _without_a_word(status: int, seen: int) -> Outcome:
    """SIGKILL is the system's, when memory is gone; any other end is a fault."""
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if number == signal.SIGKILL:
        return Outcome(ended=NO_MEMORY, bytes_seen=seen)
    how = signal.Signals(number).name if number else f"exit code {os.WEXITSTATUS(status)}"
    raise AfinaError(
        f"The probe's steps ended by {how}, without a word.",
        FAULT,
    )
