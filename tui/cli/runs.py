"""The commands about runs that exist: list, watch, stop, pause, save a checkpoint, resume."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import AfinaError

if TYPE_CHECKING:
    from core.events import Event
    from core.jobs import State
    from core.runs.run import Run
    from core.train.checkpoint.resume import Difference

POLL_S = 0.1
NOW_S = 20.0  # for a worker to hear that it is to end at once
RunWord = Annotated[str, typer.Argument(help="A run's id, name or directory, or last.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def runs(json: Json = False) -> None:
    """List the runs, newest first."""
    from core.paths import home
    from core.runs.run import summaries

    rows = summaries(home())
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

    from core.data.escape import visible

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
        table.add_row(*(Text(visible(cell)) for cell in cells))
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


def stop(
    run: RunWord,
    now: Annotated[
        bool, typer.Option("--now", help="End it at once, without saving what it did since.")
    ] = False,
    json: Json = False,
) -> None:
    """Stop a run after saving its state; asked a second time, or with --now, end it at once.

    `afina resume` goes on from the last checkpoint. Exit code 1 when it failed instead.
    """
    found = _at_work(run)
    found.request("stop", **({"now": True} if now else {}))
    if not json:
        typer.echo(f"{found.id} {'ends' if now else 'saves its state and stops'}", err=True)
    state = _until_ended(found, NOW_S if now else None)
    _say(found, {"run": found.id, "state": state.state, "step": state.step}, state.reason, json)
    raise typer.Exit(0 if state.state in ("stopped", "done") else 1)


def pause(run: RunWord, json: Json = False) -> None:
    """Save a run's state and end its process, so that the device is free; `afina resume` goes on.

    Exit code 1 when it failed instead.
    """
    found = _at_work(run)
    found.request("pause")
    if not json:
        typer.echo(f"{found.id} saves its state and pauses", err=True)
    state = _until_ended(found)
    _say(found, {"run": found.id, "state": state.state, "step": state.step}, state.reason, json)
    raise typer.Exit(0 if state.state in ("paused", "stopped", "done") else 1)


def checkpoint(run: RunWord, json: Json = False) -> None:
    """Save a run's state now, without stopping it. Exit code 1 when it could not be saved."""
    found = _at_work(run)
    result = _ask(found, "checkpoint")
    _say(found, {"run": found.id, "result": result}, result, json)
    raise typer.Exit(0 if result.startswith("saved") else 1)


def resume(
    run: RunWord,
    check: Annotated[
        bool, typer.Option("--check", help="Only say what has changed since it last began.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Go on although it becomes another run by it.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Start it and return; it goes on without a terminal.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print events as JSON lines.")] = False,
) -> None:
    """Go on with a run that has not come to its end, from its newest checkpoint.

    Exit code 2 when its data, model or configuration is no longer what it was. With --check: 0 when
    nothing has changed, 1 for changes that leave the run what it is, 2 for others.
    """
    from core.events import EventTail
    from core.train.checkpoint.resume import differences, refusal
    from core.train.checkpoint.resume import force as let_go_on
    from tui.cli.follow import follow
    from tui.cli.train import print_started

    found = _find(run)
    changed = differences(found)
    if check:
        _print_differences(changed, json)
        raise typer.Exit(2 if any(each.meaning for each in changed) else int(bool(changed)))
    state = found.state()
    if state.state == "done":
        raise AfinaError(f'"{found.id}" is done at step {state.step}.', "Start a new run.")
    refused = refusal(found, changed)
    if refused is not None:
        if not force:
            raise refused
        let_go_on(found)
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


def _print_differences(changed: list[Difference], json: bool) -> None:
    from core.data.escape import visible

    if json:
        import msgspec

        typer.echo(msgspec.json.encode(changed))
        return
    for each in changed:
        typer.echo(visible(f"{each}{'' if each.meaning else '; the run stays what it is'}"))
    if not changed:
        typer.echo("Nothing has changed.")


def _find(word: str) -> Run:
    from core.paths import home
    from core.runs.run import find_run

    return find_run(home(), word)


def _at_work(word: str) -> Run:
    from core.jobs import ACTIVE

    run = _find(word)
    state = run.state().state
    if state not in ACTIVE:
        raise AfinaError(f'"{run.id}" is not at work: it is {state}.', "`afina runs` lists them.")
    return run


def _until_ended(run: Run, limit_s: float | None = None) -> State:
    """The state that a run ended in; raises AfinaError when it takes longer than the limit."""
    from core.jobs import ENDED

    began = time.monotonic()
    while (state := run.state()).state not in ENDED:
        if limit_s is not None and time.monotonic() - began > limit_s:
            raise AfinaError(
                f'"{run.id}" does not hear: process {state.pid} is stuck in the system.',
                f"`kill -9 {state.pid}` ends it; its checkpoints stay.",
            )
        time.sleep(POLL_S)
    return state


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
    from core.data.escape import visible
    from core.events import encode

    typer.echo(encode(fields) if json else visible(f"{run.id}: {words}"))


def _cell(value: float | None, style: str) -> str:
    return "" if value is None else format(value, style)
