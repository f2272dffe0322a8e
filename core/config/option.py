"""How an option is declared: its type, its bounds, and what a person reads about it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Count = Annotated[int, Meta(ge=1)]
Minutes = Annotated[float, Meta(gt=0.0)]
Weight = Annotated[float, Meta(gt=0.0)]
Rank = Annotated[int, Meta(ge=1)]
Alpha = Annotated[float, Meta(gt=0.0)]
SpikeFactor = Annotated[float, Meta(gt=1.0)]


def option(description: str, *, unit: str = "", source: str = "", **bounds: float) -> Meta:
    """What a person reads about an option: its meaning, unit and where its default comes from."""
    return Meta(description=description, extra={"unit": unit, "source": source}, **bounds)  # type: ignore[arg-type]
