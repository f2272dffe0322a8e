"""The words of the Chat pane that begin with a slash: /system, /set, /retry, /undo, /clear."""

from __future__ import annotations

import msgspec

from core.chat.protocol import Sampling
from core.errors import AfinaError, nearest


def split_command(text: str) -> tuple[str, str] | None:
    """Word and rest of "/set seed=3"; None for a question. "//" begins a question with a slash."""
    if not text.startswith("/") or text.startswith("//"):
        return None
    word, _, rest = text[1:].partition(" ")
    return word, rest.strip()


def change_sampling(sampling: Sampling, words: str) -> Sampling:
    """The sampling with NAME=VALUE words laid over it. Raises AfinaError with what there is."""
    values = msgspec.to_builtins(sampling)
    now = "  ".join(f"{name}={value}" for name, value in values.items())
    if not words:
        raise AfinaError("Nothing to set.", f"Now: {now}.")
    for word in words.split():
        name, _, value = word.partition("=")
        if name not in values:
            raise AfinaError(f'There is no "{name}".', nearest(name, values) or f"Now: {now}.")
        values[name] = value
    try:
        return msgspec.convert(values, Sampling, strict=False)
    except msgspec.ValidationError as error:
        raise AfinaError(f'"{words}" can\'t be set: {error}.', f"Now: {now}.") from error
