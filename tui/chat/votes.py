"""Votes on the answers of the columns: whether one can be given, and what is kept of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.chat.preferences import prefer, preference_file
from tui.chat.column import ChatColumn
from tui.chat.dialogs.vote import TIE


def why_no_vote(columns: Sequence[ChatColumn], readonly: bool) -> str:
    """Why there is nothing to vote on; empty when there is."""
    if readonly:
        return "This workbench was opened with --readonly."
    if len(columns) < 2:
        return "A vote needs two columns; a adds another."
    busy = any(column.busy for column in columns)
    questions = [column.prompt[-1]["content"] for column in columns if column.answer]
    if busy or len(questions) < 2:
        return "A vote needs two whole answers."
    if len(set(questions)) > 1:  # some columns had no answer to what others were asked
        return "These answers are to different questions."
    return ""


def keep_vote(home: Path, said: str, best: ChatColumn | None, others: Sequence[ChatColumn]) -> str:
    """Keeps the best answer against each other one; returns a sentence about it.

    Without a best one (a tie, or both bad) nothing is kept. Raises AfinaError when the file can't
    be written.
    """
    if best is None:
        what = "A tie" if said == TIE else "Both bad"
        return f"{what}: it says nothing about which is better, so nothing is kept."
    kept = sum(prefer(home, best.prompt, best.answer, other.answer) for other in others)
    if not kept:
        return "The answers are the same, so nothing is kept."
    return f"Kept in {preference_file(home)}."
