"""The words of the Chat pane: what /set changes, and the facts under its box."""

from __future__ import annotations

import msgspec

from core.chat.protocol import Sampling
from core.errors import AfinaError, nearest


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


def pane_facts(blind: str, preferences: int, hidden: int, sampling: Sampling) -> list[str]:
    """What stands under the box: blind, 3 preferences, greedy."""
    facts = [blind] if blind else []
    if preferences:
        facts.append(f"{preferences} preference{'s' if preferences > 1 else ''}")
    if hidden:
        facts.append(f"{hidden} more: esc, then [ ]")
    if not sampling.temperature:
        facts.append("greedy")
    return facts
