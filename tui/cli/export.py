"""`afina export`: a run or a model folder as files for other programs, checked on the way."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.errors import AfinaError
from core.figures import size

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from core.jobs import Job
    from exporters.job.plan import Plan

STYLES = {"pass": "green", "warn": "yellow", "fail": "bold red"}

TargetWord = Annotated[str, typer.Argument(help="A run, RUN@STEP, RUN@base or a model folder.")]
To = Annotated[
    list[str],
    typer.Option("--to", help="What to write: gguf:q4_k_m, gguf:f16,q8_0; may be repeated."),
]


def export(
    target: TargetWord,
    to: To = [],  # noqa: B006 - typer reads it, nobody changes it
    adapter: Annotated[str | None, typer.Option(help="Adapter laid over a model folder.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what it would write and need; write nothing.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Start it and return; it goes on without a terminal.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Export a tuned model to GGUF and check it against the model that was trained.

    Exit code 1 when a file is not what was trained, 2 when the export can't be made.
    """
    from core.paths import home
    from exporters.job.plan import make_plan
    from exporters.job.request import create_export

    if plan:
        _show_plan(make_plan(home(), target, to, adapter), json)
        return
    job = create_export(home(), target, to, adapter)
    pid = job.start("export")
    if detach:
        _print_started(job, pid, json)
        return
    result = follow_export(job)
    if json:
        typer.echo(json_module.dumps({"files": result["files"], "parity": result["parity"]}))
    else:
        _print_table(result)
    failed = any(row["verdict"] == "fail" for row in result["parity"])
    raise typer.Exit(1 if failed else 0)


def _show_plan(plan: Plan, json: bool) -> None:
    """The plan on stdout; its first problem, if it has one, as the command's error."""
    import msgspec

    if json:
        typer.echo(json_module.dumps(msgspec.to_builtins(plan)))
    elif plan.items:
        _print_plan(plan)
    if plan.problems:
        raise AfinaError(plan.problems[0].message, plan.problems[0].hint)


def _print_plan(plan: Plan) -> None:
    from rich.console import Console

    from core.data.visible import visible

    table = _table(("type", "left"), ("size", "right"), ("file", "left"))
    for item in plan.items:
        name = visible(Path(item.path).name) + (", replacing the one there" * item.replaces)
        table.add_row(_text(f"{item.kind}:{item.type}"), _text(size(item.bytes)), _text(name))
    console = Console(highlight=False)
    console.print(table)
    console.print(_text(f"in {visible(plan.folder)}"))
    console.print(
        _text(
            f"disk {size(plan.needed_bytes)} of {size(plan.free_bytes)} free, "
            f"memory {size(plan.memory_bytes)} of {size(plan.memory_free_bytes)} free"
        )
    )
    notes = [f"{i.kind}:{i.type}: {note}" for i in plan.items for note in i.notes]
    for note in [*plan.notes, *notes]:
        console.print(_text(visible(note)))


def _print_started(job: Job, pid: int, json: bool) -> None:
    if json:
        fields = {"job": job.directory.name, "directory": str(job.directory), "pid": pid}
        typer.echo(json_module.dumps(fields))
    else:
        typer.echo(f"{job.directory.name} is running as process {pid}; see {job.directory}.")


def follow_export(job: Job) -> dict[str, Any]:
    """Shows the job on stderr until it ends; its result event. Ctrl+C cancels it.

    Raises AfinaError when there is no result.
    """
    from core.curves import last
    from core.events import EventTail
    from tui.cli.follow import HumanLines, until_end

    tail = EventTail(job.events_path)
    with HumanLines() as shown:
        try:
            state = until_end(job, tail, shown)
        except KeyboardInterrupt:
            job.request("cancel")
            state = until_end(job, tail, shown)
    result = last(job.events(), "result")
    if result is None:
        raise AfinaError(f"The export {state.state}: {state.reason}", f"Its log: {job.log_path}")
    return result


def _print_table(result: dict[str, Any]) -> None:
    """The parity table, then what warns or fails and what to do about it."""
    from rich.console import Console
    from rich.text import Text

    from core.data.visible import visible

    names = ("size", "prompts", "stops", "greedy", "KL", "tokens/s")
    table = _table(("file", "left"), *((name, "right") for name in names), ("verdict", "left"))
    for row in result["parity"]:
        table.add_row(
            *map(_text, _figures(row)), Text(row["verdict"], style=STYLES[row["verdict"]])
        )
    console = Console(highlight=False)
    console.print(table)
    for row in result["parity"]:
        for check in row["checks"]:
            if check["verdict"] != "pass":
                words = f"{row['type']}: {check['message']} {check['hint']}"
                console.print(Text(visible(words), style=STYLES[check["verdict"]]))
    threads = next((row["threads"] for row in result["parity"] if row["threads"]), 0)
    console.print(_text(f"in {visible(result['folder'])}"))
    console.print(_text(f"tokens/s on this CPU, threads used: {threads}"))


def _figures(row: dict[str, Any]) -> list[str]:
    """The cells of one row but for the verdict; a dash where nothing was measured."""

    def show(value: Any, form: str) -> str:
        return "-" if value is None else format(value, form)

    def equal(value: bool | None) -> str:
        return "-" if value is None else "=" if value else "≠"

    return [
        Path(row["path"]).name,
        size(row["bytes"]),
        equal(row["prompts_equal"]),
        equal(row["stops_equal"]),
        show(row["agreement"], ".0%"),
        show(row["kl"], ".4f"),
        show(row["tokens_per_s"], ",.0f"),
    ]


def _table(*columns: tuple[str, str]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name, side in columns:  # only a file's name is broken where the terminal is narrow
        justify = "right" if side == "right" else "left"
        table.add_column(name, justify=justify, no_wrap=name != "file", overflow="fold")
    return table


def _text(words: str) -> Text:
    from rich.text import Text

    return Text(words)
