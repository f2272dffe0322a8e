"""The commands about runs that exist: list, watch, stop, save a checkpoint, resume."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import AfinaError

if TYPE_CHECKING:
    from core.events import Event
    from core.runs import Run

POLL_S = 0.1
RunWord = Annotated[str, typer.Argument(help="A run's id, name or directory, or last.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def runs(json: Json = False) -> None:
    """List the runs, newest first."""
    from core.paths import home
    from core.runs import all_runs, summary

    rows = [summary(run) for run in all_runs(home())]
    if json:
        import msgspec

        from core.events import encode

        typer.echo(b"[" + b", ".join(encode(msgspec.to_builtins(row)) for row in rows) + b"]")
        return
    if not rows:
        typer.echo("There are no runs yet; `afina train CONFIG` starts one.", err=True)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from core.data.visible import visible

    table = Table(box=None, pad_edge=False)
    for name in ("run", "state"):
        table.add_column(name, no_wrap=True)  # a name that is cut can't be used
    for name in ("step", "loss", "eval", "tokens/s"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        cells = [
            row.run,
            row.state,
            f"{row.step:,}/{row.steps:,}",
            _cell(row.train_loss, ".3f"),
            _cell(row.eval_loss, ".3f"),
            _cell(row.tokens_per_s, ",.0f"),
        ]
        table.add_row(*map(Text, cells))
    console = Console(highlight=False)
    console.print(table)
    for row in rows:
        if row.reason:
            console.print(Text(visible(f"{row.run}: {row.reason}")))


def watch(run: RunWord = "last", json: Json = False) -> None:
    """Show a run from its beginning until it ends; Ctrl+C leaves it going."""
    from core.events import EventTail
    from tui.cli.follow import follow

    found = _find(run)
    raise typer.Exit(follow(found, EventTail(found.events_path), json))


def stop(run: RunWord, json: Json = False) -> None:
    """Stop a run after saving its state; `afina resume` goes on from there."""
    from core.jobs import ENDED

    found = _at_work(run)
    found.request("stop")
    if not json:
        typer.echo(f"{found.id} saves its state and stops", err=True)
    while (state := found.state()).state not in ENDED:
        time.sleep(POLL_S)
    _say(found, {"run": found.id, "state": state.state, "step": state.step}, state.reason, json)
    raise typer.Exit(0 if state.state in ("stopped", "done") else 1)


def checkpoint(run: RunWord, json: Json = False) -> None:
    """Save a run's state now, without stopping it. Exit code 1 when it could not be saved."""
    found = _at_work(run)
    result = _ask(found, "checkpoint")
    _say(found, {"run": found.id, "result": result}, result, json)
    raise typer.Exit(0 if result.startswith("saved") else 1)


def resume(
    run: RunWord,
    detach: Annotated[
        bool, typer.Option("--detach", help="Start it and return; it goes on without a terminal.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print events as JSON lines.")] = False,
) -> None:
    """Go on with a run that was stopped, interrupted or failed, from its newest checkpoint."""
    from core.events import EventTail
    from tui.cli.follow import follow
    from tui.cli.train import print_started

    found = _find(run)
    state = found.state()
    if state.state == "done":
        raise AfinaError(f'"{found.id}" is done at step {state.step}.', "Start a new run.")
    tail = EventTail(found.events_path)
    tail.read()  # what earlier processes wrote
    pid = found.start("train")
    if detach:
        print_started(found.id, str(found.directory), pid, json)
        return
    if not json:
        saved = found.checkpoints()
        start = f"from {saved[-1].name}" if saved else "from the beginning: it has no checkpoint"
        typer.echo(f"{found.id} goes on {start}; Ctrl+C leaves it going", err=True)
    raise typer.Exit(follow(found, tail, json))


def _find(word: str) -> Run:
    from core.paths import home
    from core.runs import find_run

    return find_run(home(), word)


def _at_work(word: str) -> Run:
    from core.jobs import ACTIVE

    run = _find(word)
    state = run.state().state
    if state not in ACTIVE:
        raise AfinaError(f'"{run.id}" is not at work: it is {state}.', "`afina runs` lists them.")
    return run


def _ask(run: Run, action: str) -> str:
    """Sends a request and waits for its answer; raises AfinaError when the run ends without one."""
    from core.events import EventTail
    from core.jobs import ENDED

    tail = EventTail(run.events_path)
    number = run.request(action)
    while True:
        ended = run.state().state in ENDED
        for event in tail.read():
            if _answers(event, number):
                return str(event["result"])
        if ended:
            raise AfinaError(f'"{run.id}" ended before it answered.', "`afina runs` says how.")
        time.sleep(POLL_S)


def _answers(event: Event, number: int) -> bool:
    return event["kind"] == "control" and event.get("request") == number


def _say(run: Run, fields: Event, words: str, json: bool) -> None:
    from core.data.visible import visible
    from core.events import encode

    typer.echo(encode(fields) if json else visible(f"{run.id}: {words}"))


def _cell(value: float | None, style: str) -> str:
    return "" if value is None else format(value, style)
