"""What stands in the tabs of the Runs pane: answers, findings, the configuration, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Sequence

from core.events import Event
from core.figures import duration, short, size
from tui.runs.detail import CheckpointView, FindingView
from tui.runs.view import Detail
from tui.theme import GREEN, SECONDARY, YELLOW
from tui.widgets.row_list import Cell, Column

Blocks = list[tuple[str, str]]  # kind and text, as LiveText takes them

CHECKPOINT_COLUMNS = [
    Column("step", 7, right=True),
    Column("eval", 6, right=True),
    Column("size", 9, right=True),
    Column("state", 12),
    Column("age", 6, right=True),
    Column("why", 0),
]
FEW_CHECKPOINT_COLUMNS = [column for column in CHECKPOINT_COLUMNS if column.title != "size"]
OPTION_CELLS = 34


class CheckpointRows:
    """The checkpoints of the chosen run, newest first."""

    def __init__(self) -> None:
        self.rows: list[CheckpointView] = []
        self.best: int | None = None
        self.columns = CHECKPOINT_COLUMNS

    def __len__(self) -> int:
        return len(self.rows)

    def cells(self, index: int) -> Sequence[Cell]:
        row = self.rows[index]
        age = None if row.written is None else time.time() - row.written
        every: dict[str, Cell] = {
            "step": str(row.step),
            "eval": short(row.eval_loss),
            "size": size(row.bytes),
            "state": _state(row),
            "age": duration(age),
            "why": (", ".join(self._marks(index)), SECONDARY),
        }
        return [every[column.title] for column in self.columns]

    def _marks(self, index: int) -> list[str]:
        """Why it was saved, and whether it is the best or the newest one."""
        row = self.rows[index]
        newest = next((each.step for each in self.rows if each.complete), None)
        marks = ["best"] if row.step == self.best else []
        marks += ["newest"] if row.step == newest else []
        return marks + ([row.reason] if row.reason else [])


def _state(row: CheckpointView) -> Cell:
    """A complete one can be chatted with; to resume, nothing of it may be missing."""
    if row.resumable:
        return ("resumable", GREEN)
    return ("incomplete" if row.complete else "half written", YELLOW)


def sample_blocks(rows: list[Event]) -> Blocks:
    """The answers of one evaluation as blocks of text."""
    if not rows:
        return [("note", "No answers yet. eval.watch_prompts are asked at each evaluation.")]
    blocks: Blocks = []
    for row in rows:
        if blocks:
            blocks.append(("text", ""))
        blocks += [("prompt", str(row.get("prompt", ""))), ("text", str(row.get("text", "")))]
        reason = str(row.get("finish_reason") or "stop")
        if reason != "stop":
            blocks.append(("note", "cut at the longest length" if reason == "length" else reason))
    return blocks


def finding_blocks(findings: Sequence[FindingView]) -> Blocks:
    """What the run has told of itself, newest first."""
    if not findings:
        return [("note", "Nothing worth telling yet.")]
    blocks: Blocks = []
    for finding in reversed(findings):
        if blocks:
            blocks.append(("text", ""))
        if finding.step is not None:
            blocks.append(("note", f"step {finding.step:,}"))
        blocks.append((finding.severity if finding.severity != "note" else "text", finding.message))
        if finding.hint:
            blocks.append(("note", finding.hint))
    return blocks


def config_blocks(detail: Detail | None) -> Blocks:
    """Where the run comes from, what is not at its default, then the whole YAML."""
    if detail is None:
        return []
    blocks: Blocks = []
    if detail.origin:
        nearest, *before = detail.origin
        blocks += [("label", "goes on from"), ("text", f"  {nearest}")]
        blocks += [("note", f"  which goes on from {name}") for name in before]
        blocks.append(("text", ""))
    if detail.changed:
        blocks.append(("label", "changed by a retry"))
        blocks += [("warning", f"  {words}") for words in detail.changed]
        blocks.append(("text", ""))
    if detail.differences:
        blocks.append(("label", "not at the default"))
        for each in detail.differences:
            words = f"  {each.option.ljust(OPTION_CELLS)}{each.value}"
            blocks.append(("text", f"{words}, not {each.default}" if each.default else words))
        blocks.append(("text", ""))
    for line in detail.config.splitlines():
        blocks.append(("label" if line and not line[0].isspace() else "text", line))
    return blocks
