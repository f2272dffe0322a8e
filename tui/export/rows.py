"""The parity table of the Export pane: what can be exported, how large, how near."""

from __future__ import annotations

from collections.abc import Sequence

from core.figures import size
from exporters.job.export_spec import Wanted
from exporters.job.plan import Problem
from exporters.results import FAIL, PASS, WARN, Result
from tui.export.poller import ExportView
from tui.theme import GREEN, RED, SECONDARY, TEAL, UNICODE, YELLOW, Symbols
from tui.widgets.row_list import Cell, Column

VERDICTS = {PASS: GREEN, WARN: YELLOW, FAIL: RED}
MAKING = {"at work": GREEN}
COLUMNS = [
    Column("target", 20),
    Column("size", 10, right=True),
    Column("prompt", 6, right=True),
    Column("stops", 5, right=True),
    Column("KL", 6, right=True),
    Column("tok/s", 5, right=True),
    Column("verdict", 7),
]
WIDE_COLUMNS = [
    Column("target", 26),
    Column("size", 10, right=True),
    Column("prompt", 8, right=True),
    Column("stops", 7, right=True),
    Column("greedy", 8, right=True),
    Column("KL", 8, right=True),
    Column("CPU tok/s", 10, right=True),
    Column("verdict", 9),
]
GREEDY = [column.title for column in WIDE_COLUMNS].index("greedy")


class ExportRows:
    """The tuned model first, then the exports by kind; marked ones have a check."""

    def __init__(self) -> None:
        self.view = ExportView("")
        self.marked: set[Wanted] = set()
        self.symbols: Symbols = UNICODE
        self.wide = True  # there is room for greedy agreement too

    def __len__(self) -> int:
        return 1 + len(self.view.offered) if self.view.plan is not None else 0

    def wanted_at(self, index: int) -> Wanted | None:
        """The export of a row; None for the tuned model."""
        return self.view.offered[index - 1] if 1 <= index < len(self) else None

    def result_at(self, index: int) -> Result | None:
        """The newest result of a row's export."""
        wanted = self.wanted_at(index)
        found = [each for each in self.view.results if Wanted(each.kind, each.type) == wanted]
        return found[-1] if found else None

    def problem_at(self, index: int) -> Problem | None:
        """Why a row's export can't be made of this model."""
        wanted, plan = self.wanted_at(index), self.view.plan
        if wanted is None or plan is None:
            return None
        return next(
            (
                problem
                for problem in plan.problems
                if problem.kind == wanted.kind and problem.type in ("", wanted.type)
            ),
            None,
        )

    def cells(self, index: int) -> Sequence[Cell]:
        cells = self._cells(index)
        return cells if self.wide else [*cells[:GREEDY], *cells[GREEDY + 1 :]]

    def _cells(self, index: int) -> list[Cell]:
        wanted = self.wanted_at(index)
        if wanted is None:
            return [self._reference(), size(self.view.tuned_bytes), *["-"] * 5, ""]
        name = f"{wanted.kind} {wanted.type}"
        if self.problem_at(index) is not None:
            return [(f"  {name}", SECONDARY), *[("-", SECONDARY)] * 6, ("refused", SECONDARY)]
        marked = wanted in self.marked
        target: Cell = (f"{self.symbols.check} {name}", TEAL) if marked else f"  {name}"
        result, making = self.result_at(index), self._making(wanted)
        if result is None or making:
            estimate = (f"~{size(self.estimate(wanted))}", SECONDARY)
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
            "-" if (kl := nearness(result)) is None else f"{kl:.3f}",
            "-" if result.tokens_per_s is None else f"{result.tokens_per_s:.0f}",
            (result.verdict, VERDICTS.get(result.verdict, RED)),
        ]

    def _reference(self) -> str:
        target = self.view.target
        tuned = target is not None and (target.adapter is not None or target.run is not None)
        return "  tuned" if tuned else "  model"

    def _making(self, wanted: Wanted) -> str:
        """What the job at work does with an export; empty when there is nothing to do."""
        job = self.view.job
        if job is None or not job.active or str(wanted) not in job.pending:
            return ""
        words = job.phase.replace(",", " ").split()
        return "at work" if wanted.type in words and wanted.kind in words else "waiting"

    def estimate(self, wanted: Wanted) -> int | None:
        """The planned bytes of an export."""
        items = self.view.plan.items if self.view.plan else []
        return next((item.bytes for item in items if Wanted(item.kind, item.type) == wanted), None)

    def _equal(self, equal: bool | None) -> Cell:
        if equal is None:
            return "-"
        return "=" if equal else ("≠" if self.symbols is UNICODE else "!=", RED)


def nearness(result: Result) -> float | None:
    """KL against the tuned model: on the evaluation rows, where there are some."""
    return result.kl if result.row_kl is None else result.row_kl
