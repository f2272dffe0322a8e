"""Errors that are for people, and the problems that a configuration can have."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import msgspec


class AfinaError(Exception):
    """Something a person can act on: shown as one sentence and a way out, without a traceback."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class FieldProblem(msgspec.Struct, frozen=True):
    """One thing that is wrong with one field of a configuration."""

    field: str  # dotted, as in the YAML: "train.learning_rate"
    message: str
    hint: str = ""
    severity: str = "error"  # "error" blocks the run, "warning" does not

    def __str__(self) -> str:
        return f"{self.field}: {self.message} {self.hint}".rstrip()


def nearest(word: str, known: Iterable[str]) -> str:
    """A "Did you mean" sentence for a word that is not known; empty when nothing is near."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f'Did you mean "{close[0]}"?' if close else ""
