"""New files made of the open one: what may be chosen, what will come of it, what came of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.text import Text

from core.data.escape import visible
from tui.data.edits import Pending
from tui.data.text import count
from tui.theme import AMBER, SECONDARY, TEAL, TEXT, YELLOW

FORMATS = ("same", "openai", "sharegpt", "alpaca", "trl")
MOST_REASONS = 6


class Fix(NamedTuple):
    """Something that is mended on the way, and the check whose rows it concerns."""

    name: str  # as the request has it
    label: str
    check: str
    drops: bool = True


FIXES = (
    Fix("drop_errors", "drop rows with errors", ""),
    Fix("drop_duplicates", "drop exact duplicates", "exact_duplicate"),
    Fix("drop_near_duplicates", "drop near duplicates", "near_duplicate"),
    Fix("truncate", "shorten to max_length", "truncated", drops=False),
)


class Rows(NamedTuple):
    """The rows that can be written, and what the survey knows of them."""

    total: int
    shown: int | None  # of a filter, None where all rows are shown
    pending: Pending
    survey: Mapping[str, Any]
    surveyed: bool

    def found(self, fix: Fix) -> int:
        """How many rows a fix is about; of errors the survey knows problems, not rows."""
        if not fix.check:
            return self.survey.get("errors", 0)
        return (self.survey.get("counts") or {}).get(fix.check, 0)


def proposed(path: str, edited: bool) -> Path:
    """A new name beside the data, or here where that folder can't be written to."""
    source = Path(path).expanduser()
    there = source.parent if source.is_file() else Path.cwd()
    folder = there if os.access(there, os.W_OK) else Path.cwd()
    stem = source.name.split(".")[0] or "data"
    name = f"{stem}.{'edited' if edited else 'new'}"
    number, found = 1, folder / f"{name}.jsonl"
    while found.exists():
        number += 1
        found = folder / f"{name}-{number}.jsonl"
    return found


def proposed_folder(path: str) -> Path:
    """A folder for the two files of a split."""
    first = proposed(path, edited=False)
    stem = (Path(path).name.split(".")[0] or "data") + "-split"
    number, found = 1, first.parent / stem
    while found.exists():
        number += 1
        found = first.parent / f"{stem}-{number}"
    return found


def plan_words(rows: Rows, only_shown: bool, fixes: set[str]) -> Text:
    """What will be written, as far as it is known before."""
    before = rows.shown if only_shown and rows.shown is not None else rows.total
    text = Text(f"{count(before, 'row')}", TEXT)
    if only_shown and rows.shown is not None:
        text.append(f" of {rows.total:,}, those that the list shows", SECONDARY)
    if rows.pending:
        text.append("\nyours       ", SECONDARY).append(f"{rows.pending.words()}", AMBER)
    dropping = [fix for fix in FIXES if fix.name in fixes and fix.drops and rows.found(fix)]
    least = before - sum(map(rows.found, dropping)) - len(rows.pending.dropped)
    if dropping or rows.pending.dropped:
        counted = f"{max(0, least):,}" + (" at least" if dropping else "")
        text.append("\nleft        ", SECONDARY).append(f"{counted}", TEXT)
    shortened = next(fix for fix in FIXES if not fix.drops)
    if shortened.name in fixes and (number := rows.found(shortened)):
        text.append("\nshortened   ", SECONDARY).append(count(number, "row"), TEXT)
    if not rows.surveyed:
        text.append("\nThe rows are still being checked: the counts grow.", YELLOW)
    return text


def written_words(report: Mapping[str, Any]) -> Text:
    """What was written, and what changed on the way."""
    text = Text("written     ", SECONDARY).append(f"{visible(report['path'])}\n", TEAL)
    text.append("rows        ", SECONDARY)
    text.append(f"{report['rows']:,} of {report['rows_in']:,}", TEXT)
    if report["edited"]:
        text.append(f", {len(report['edited']):,} edited", TEXT)
    if report["truncated"]:
        tokens = f"{report['truncated_tokens']:,} tokens"
        text.append(f", {len(report['truncated']):,} shortened by {tokens}", TEXT)
    for title, reasons in (("left out", report["dropped"]), ("lost", report["lost"])):
        for reason, numbers in list(reasons.items())[:MOST_REASONS]:
            text.append(f"\n{title:<12}", SECONDARY)
            text.append(f"{count(len(numbers), 'row')}: {visible(reason)}", TEXT)
            text.append(f" ({_some(numbers)})", SECONDARY)
        if (more := len(reasons) - MOST_REASONS) > 0:
            rows = sum(map(len, list(reasons.values())[MOST_REASONS:]))
            text.append(f"\n{title:<12}", SECONDARY)
            text.append(f"{count(rows, 'row')} for {count(more, 'more reason')}", TEXT)
    if report["edits_without_row"]:
        words = f"\n{count(report['edits_without_row'], 'edit')} found no row in the file."
        text.append(words, YELLOW)
    return text


def _some(numbers: list[int]) -> str:
    shown = ", ".join(f"{number:,}" for number in numbers[:4])
    return f"row {shown}" + (", ..." if len(numbers) > 4 else "")


def split_words(report: Mapping[str, Any]) -> Text:
    """The two files, and how their rows were parted."""
    text = Text()
    for title, side in (("train", "train"), ("evaluate", "eval")):
        text.append(f"{title:<12}", SECONDARY).append(visible(report[side]), TEAL)
        text.append(f" {count(report[f'{side}_rows'], 'row')}\n", TEXT)
    text.append("share       ", SECONDARY)
    text.append(f"{report['fraction']:.1%}, {report['reason']}", TEXT)
    if report["groups"]:
        copies = count(report["grouped_rows"], "copy").replace("copys", "copies")
        text.append("\ncopies      ", SECONDARY).append(f"{copies} kept on one side", TEXT)
    for entry in report["classes"][:MOST_REASONS]:
        text.append(f"\n{visible(str(entry['value']))[:11]:<12}", SECONDARY)
        text.append(f"{entry['train']:,} to train, {entry['eval']:,} to evaluate", TEXT)
    if len(report["classes"]) > MOST_REASONS:
        text.append(f"\nand {len(report['classes']) - MOST_REASONS} more classes", SECONDARY)
    if report["pending"]:
        words = f"\n{count(report['pending'], 'pending change')} not in the files: write first."
        text.append(words, YELLOW)
    return text
