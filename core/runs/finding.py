"""What is worth telling of a run, in words; the rules that find it are in core/train/checks."""

from __future__ import annotations

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """One thing worth telling, with what to do about it."""

    severity: str  # "error", "warning" or "note"
    message: str
    hint: str = ""
