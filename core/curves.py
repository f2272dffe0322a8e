"""Curves out of events: one value per step, also when a resumed run went over some steps again."""

from __future__ import annotations

from collections.abc import Iterable

from core.events import Event, number


def curve(events: Iterable[Event], kind: str, field: str) -> list[tuple[int, float]]:
    """(step, value) of every event of this kind that has the field, by step.

    A resumed run repeats the steps after its checkpoint: the last event of a step counts, and a
    step beyond the newest event of that kind, left over from before, stays until it is repeated.
    """
    values: dict[int, float] = {}
    for event in events:
        if event.get("kind") != kind:
            continue
        value, step = number(event.get(field)), event.get("step")
        if value is not None and step is not None:
            values[int(step)] = value
    return sorted(values.items())


def last(events: Iterable[Event], kind: str) -> Event | None:
    """The newest event of a kind."""
    found = None
    for event in events:
        if event.get("kind") == kind:
            found = event
    return found
