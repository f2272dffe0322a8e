"""Curves out of events: one value per step, also when a resumed run went over some steps again."""

from __future__ import annotations

from collections.abc import Iterable

from core.events import Event, number


def curve(events: Iterable[Event], kind: str, field: str) -> list[tuple[int, float]]:
    """(step, value) of every event of this kind that has the field, by step.

    A resumed run goes over the steps after its checkpoint again: when the steps go back, what was
    there from that step on is dropped, as the run itself has forgotten it.
    """
    points: list[tuple[int, float]] = []
    for event in events:
        if event.get("kind") != kind:
            continue
        value, step = number(event.get(field)), event.get("step")
        if value is None or not isinstance(step, int):
            continue
        while points and points[-1][0] >= step:
            points.pop()
        points.append((int(step), value))
    return points


def last(events: Iterable[Event], kind: str) -> Event | None:
    """The newest event of a kind."""
    found = None
    for event in events:
        if event.get("kind") == kind:
            found = event
    return found
