"""Surveys of rows that a test writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.data.analysis.analysis import Analysis
from core.data.analysis.checks import Inquiry, surveyed
from core.data.recipe import Recipe

Write = Callable[..., Path]


def chat(question: str, answer: str = "A", system: str = "") -> dict[str, Any]:
    """A row of two turns, or three."""
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": [{"role": "system", "content": system}, *turns] if system else turns}


def recipe(model: Path | None = None, max_length: int | None = 512, **fields: Any) -> Recipe:
    return Recipe(model=str(model or ""), max_length=max_length, **fields)


@contextmanager
def survey_of(
    rows: list[Any], folder: Path, inquiry: Inquiry | None = None, **fields: Any
) -> Iterator[Analysis]:
    """The survey of rows, written to a file of their own."""
    path = folder / "surveyed.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with surveyed(path, recipe(**fields), inquiry or Inquiry()) as survey:
        yield survey
