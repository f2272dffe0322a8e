"""The terminal around the app: what it can do, what a slow link wants, what if it goes away."""

from __future__ import annotations

import asyncio
import locale
import os
import signal
import threading
from collections.abc import Callable, Mapping

SSH_FRAMES_PER_S = 20
HANGUP_LIMIT_S = 1.0  # a clean end that takes longer is cut short


def over_ssh(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the person sits at the other end of an SSH link."""
    return any(environment.get(name) for name in ("SSH_CONNECTION", "SSH_TTY", "SSH_CLIENT"))


def prepare() -> None:
    """Tells Textual what the link wants. It reads the environment at its import: call before."""
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    if over_ssh():
        os.environ.setdefault("TEXTUAL_FPS", str(SSH_FRAMES_PER_S))


def free_alt_digits() -> None:
    """Lets alt+1 to alt+5 be keys: Textual 8 reads them as the signs of a Mac's keyboard."""
    from textual import _ansi_sequences

    for digit in "12345":
        _ansi_sequences.ANSI_SEQUENCES_KEYS.pop(f"\x1b{digit}", None)  # type: ignore[attr-defined]


def speaks_unicode() -> bool:
    """Whether the locale's encoding has the glyphs that the workbench draws with."""
    return locale.getpreferredencoding(False).upper().replace("-", "") == "UTF8"


def on_hangup(end: Callable[[], None]) -> None:
    """Calls `end` once the terminal is gone; ends the process by force if that takes too long.

    Left alone, Textual dies without cleaning up, and spins if SIGHUP was inherited as ignored.
    """

    def hang_up() -> None:
        force = threading.Timer(HANGUP_LIMIT_S, os._exit, (128 + signal.SIGHUP,))
        force.daemon = True
        force.start()
        end()

    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, hang_up)
    loop.add_signal_handler(signal.SIGTERM, hang_up)
