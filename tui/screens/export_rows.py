"""The parity table of the Export pane: every type, what it weighs, how near it is to the model."""

from __future__ import annotations

from collections.abc import Sequence

from core.figures import size
from exporters.gguf.types import TYPES
from exporters.job.results import FAIL, PASS, WARN, Result
from tui.screens.export_feed import ExportView
from tui.theme import GREEN, RED, SECONDARY, TEAL, UNICODE, YELLOW, Symbols
from tui.widgets.row_list import Cell, Column

VERDICTS = {PASS: GREEN, WARN: YELLOW, FAIL: RED}
MAKING = {"at work": GREEN}
COLUMNS = [
    Column("target", 14),
    Column("size", 10, right=True),
    Column("prompt", 6, right=True),
    Column("stops", 5, right=True),
    Column("greedy", 6, right=True),
    Column("KL", 5, right=True),
    Column("tok/s", 5, right=True),
    Column("verdict", 7),
]
WIDE_COLUMNS = [
    Column("target", 20),
    Column("size", 10, right=True),
    Column("prompt", 8, right=True),
    Column("stops", 7, right=True),
    Column("greedy", 8, right=True),
    Column("KL", 8, right=True),
    Column("CPU tok/s", 10, right=True),
    Column("verdict", 9),
]


class ExportRows:
    """The tuned model first, then the types; marked ones have a check."""

    def __init__(self) -> None:
        self.view = ExportView("")
        self.marked: set[str] = set()
        self.symbols: Symbols = UNICODE

    def __len__(self) -> int:
        return 1 + len(TYPES) if self.view.plan is not None and self.view.plan.items else 0

    def type_at(self, index: int) -> str | None:
        """The type of a row; None for the tuned model."""
        return list(TYPES)[index - 1] if index >= 1 else None

    def result_at(self, index: int) -> Result | None:
        """The newest result of a row's type."""
        name = self.type_at(index)
        found = [each for each in self.view.results if (each.kind, each.type) == ("gguf", name)]
        return found[-1] if found else None

    def cells(self, index: int) -> Sequence[Cell]:
        name = self.type_at(index)
        if name is None:
            return [self._reference(), size(self.view.tuned_bytes), *["-"] * 5, ""]
        mark = self.symbols.check if name in self.marked else " "
        target: Cell = (f"{mark} gguf {name}", TEAL) if name in self.marked else f"  gguf {name}"
        result, making = self.result_at(index), self._making(name)
        if result is None or making:
            estimate = (f"~{size(self.estimate(name))}", SECONDARY)
            return [
                target,
                estimate,
                *[("-", SECONDARY)] * 5,
                (making, MAKING.get(making, SECONDARY)),
            ]
        return [
            target,
            size(result.bytes),
            self._equal(result.prompts_equal),
            self._equal(result.stops_equal),
            "-" if result.agreement is None else f"{result.agreement * 100:.0f}%",
            "-" if result.kl is None else f"{result.kl:.3f}",
            "-" if result.tokens_per_s is None else f"{result.tokens_per_s:.0f}",
            (result.verdict, VERDICTS.get(result.verdict, RED)),
        ]

    def _reference(self) -> str:
        target = self.view.target
        tuned = target is not None and (target.adapter is not None or target.run is not None)
        return "  tuned" if tuned else "  model"

    def _making(self, name: str) -> str:
        """What the job at work does with a type; empty when there is nothing to do."""
        job = self.view.job
        if job is None or not job.active or name not in job.pending:
            return ""
        return "at work" if name in job.phase.replace(",", " ").split() else "waiting"

    def estimate(self, name: str) -> int | None:
        """The planned bytes of a type."""
        items = self.view.plan.items if self.view.plan else []
        return next((item.bytes for item in items if item.type == name), None)

    def _equal(self, equal: bool | None) -> Cell:
        if equal is None:
            return "-"
        return "=" if equal else ("≠" if self.symbols is UNICODE else "!=", RED)
