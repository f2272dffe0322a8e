"""Memory that a process has freed goes back to the system.

glibc keeps it in pieces between what is still held, and a copy of the weights, which a checkpoint
and a proof take, seldom fits into one: the process would grow by it though it has room.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress


def give_back() -> None:
    """Returns every free page; nothing where the C library can't (macOS, musl)."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)  # malloc_trim(3): in the midst of the heap too
