"""What another program reads in an export, asked in a process of its own, which a cancel ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from exporters.contract import Conversation, Seen
from exporters.isolated import run_aside


def read_aside(
    read: Callable[..., None],
    path: Path,
    texts: Sequence[str],
    conversations: Sequence[Conversation],
    check: Callable[[], None],
) -> Seen:
    """Calls `read(send, path, texts, conversations)` there; it sends one Seen as plain values.

    Raises AfinaError where the export can't be opened or rendered. What `check` raises ends that
    process.
    """
    found: list[Seen] = []
    run_aside(
        read,
        (str(path), list(texts), list(conversations)),
        lambda values: found.append(msgspec.convert(values, Seen)),
        check,
    )
    return found[0]
