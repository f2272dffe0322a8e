"""Copying over SSH: OSC 52, which the terminal at the far end takes, and always a file as well."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path

from core.paths import write_atomic

FILE = "clipboard.txt"
OSC_LIMIT_BYTES = 74_994  # of base64: what xterm, kitty and hterm take in one sequence
SCREEN_CHUNK = 76  # GNU screen drops longer control strings


def osc52(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """The sequence that puts a text on the clipboard; empty when it is too long for terminals.

    tmux takes it plain (set-clipboard on) or hands a wrapped one through (allow-passthrough on);
    which of them is on can't be asked, and taking both does no harm.
    """
    encoded = base64.b64encode(text.encode()).decode()
    if len(encoded) > OSC_LIMIT_BYTES:
        return ""
    plain = f"\x1b]52;c;{encoded}\a"
    if environment.get("TMUX"):
        doubled = plain.replace("\x1b", "\x1b\x1b")
        return f"{plain}\x1bPtmux;{doubled}\x1b\\"
    if environment.get("STY"):
        chunks = [plain[i : i + SCREEN_CHUNK] for i in range(0, len(plain), SCREEN_CHUNK)]
        return "".join(f"\x1bP{chunk}\x1b\\" for chunk in chunks)
    return plain


def write_file(home: Path, text: str) -> Path:
    """Writes the copied text where the person can fetch it; returns the path. Raises OSError."""
    path = home / FILE
    write_atomic(path, text)
    return path
