"""The tables of `afina export`: what it would write and need, and how near what it wrote is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.figures import size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from exporters.job.plan import Plan

STYLES = {"pass": "green", "warn": "yellow", "fail": "bold red"}
UNBOUNDED = 1000  # columns, to ask a table how wide it would like to be
PERPLEXITY = "ppl"  # the column that goes where the terminal is narrow


def print_plan(plan: Plan) -> None:
    """Every export with its size, then disk and memory, then what there is to say."""
    from core.data.escape import visible

    console, folder = _console(), Path(plan.folder)
    if plan.items:
        table = _table(("export", "left"), ("size", "right"), ("memory", "right"), ("to", "left"))
        for item in plan.items:
            name = visible(_below(folder, item.path)) + ", replaced" * item.replaces
            cells = (f"{item.kind}:{item.type}", size(item.bytes), size(item.memory_bytes), name)
            table.add_row(*map(_text, cells))
        console.print(table)
        console.print(_text(f"in {visible(plan.folder)}"))
        console.print(_text(_needs(plan)))
    notes = [f"{i.kind}:{i.type}: {note}" for i in plan.items for note in i.notes]
    for note in [*plan.notes, *notes]:
        console.print(_text(visible(note)))


def _needs(plan: Plan) -> str:
    largest = max(plan.phases, key=lambda phase: phase.bytes)
    between = f" ({size(plan.temporary_bytes)} of it in between)" if plan.temporary_bytes else ""
    return (
        f"disk {size(plan.needed_bytes)}{between} of {size(plan.free_bytes)} free\n"
        f"memory {size(plan.memory_bytes)} of {size(plan.memory_free_bytes)} free; "
        f"{largest.name[0].lower()}{largest.name[1:]} needs the most"
    )


def print_results(result: dict[str, Any]) -> None:
    """The parity table, where the exports lie, then what warns or fails and what to do about it."""
    from rich.text import Text

    from core.data.escape import visible

    console = _console()
    rows = result["parity"]
    table = _results_table(rows, wide=True)
    unbounded = console.options.update(width=UNBOUNDED)
    if console.measure(table, options=unbounded).maximum > console.width:
        table = _results_table(rows, wide=False)
    console.print(table)
    console.print(_text(f"in {visible(result['folder'])}"))
    for row in rows:
        place = _below(Path(result["folder"]), row["path"])
        console.print(_text(f"  {visible(place)}"), soft_wrap=True)
    for row in rows:
        for check in row["checks"]:
            if check["verdict"] != "pass":
                words = f"{row['kind']}:{row['type']}: {check['message']} {check['hint']}"
                console.print(Text(visible(words), style=STYLES[check["verdict"]]))
    for failure in result["failures"]:
        words = "{kind}:{type} was not exported: {message} {hint}".format(**failure)
        console.print(Text(visible(words), style=STYLES["fail"]))
    threads = next((row["threads"] for row in rows if row["threads"]), 0)
    console.print(_text(f"tokens/s on this CPU, threads used: {threads}"))


def _results_table(rows: list[dict[str, Any]], wide: bool) -> Table:
    from rich.text import Text

    names = ["size", "prompts", "stops", "greedy", "KL", PERPLEXITY, "tokens/s"]
    if not wide:
        names.remove(PERPLEXITY)
    table = _table(("export", "left"), *((name, "right") for name in names), ("verdict", "left"))
    for row in rows:
        figures = _figures(row)
        cells = [f"{row['kind']}:{row['type']}", *(figures[name] for name in names)]
        table.add_row(*map(_text, cells), Text(row["verdict"], style=STYLES[row["verdict"]]))
    return table


def _figures(row: dict[str, Any]) -> dict[str, str]:
    """The cells of one row by column; a dash where nothing was measured."""

    def show(value: Any, form: str) -> str:
        return "-" if value is None else format(value, form)

    def equal(value: bool | None) -> str:
        return "-" if value is None else "=" if value else "≠"

    return {
        "size": size(row["bytes"]),
        "prompts": equal(row["prompts_equal"]),
        "stops": equal(row["stops_equal"]),
        "greedy": show(row["agreement"], ".0%"),
        "KL": show(row["kl"] if row["row_kl"] is None else row["row_kl"], ".4f"),  # as in the pane
        PERPLEXITY: show(row["perplexity"], ",.2f"),
        "tokens/s": show(row["tokens_per_s"], ",.0f"),
    }


def _below(folder: Path, path: str) -> str:
    """A path from the exports' folder on; what lies elsewhere as it is."""
    place = Path(path)
    return str(place.relative_to(folder)) if place.is_relative_to(folder) else path


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def _table(*columns: tuple[str, str]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name, side in columns:  # only a path is broken where the terminal is narrow
        justify = "right" if side == "right" else "left"
        table.add_column(name, justify=justify, no_wrap=name != "to", overflow="fold")
    return table


def _text(words: str) -> Text:
    from rich.text import Text

    return Text(words)
