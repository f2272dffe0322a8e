"""`afina train`: starts a run from a configuration file and shows it; the run needs no terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.errors import FieldProblem

ConfigFile = Annotated[Path, typer.Argument(help="The run's YAML; see docs/configuration.md.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Options laid over it: train.learning_rate=1e-4 ...")
]


def train(
    config: ConfigFile,
    overrides: Overrides = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Start it and return; it goes on without a terminal.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print events as JSON lines.")] = False,
) -> None:
    """Train a model. Ctrl+C leaves the run going; exit code 1 when it fails, 2 on a bad config."""
    from core.config import config_io
    from core.config.config_io import ConfigError
    from core.config.problems import problems
    from core.events import EventTail
    from core.paths import home
    from core.runs import create_run
    from core.train.objectives.choice import check_shape
    from tui.cli.follow import follow

    try:
        wanted = config_io.load(config, overrides or [])
    except ConfigError as error:
        _refuse(config, error.problems)
        raise typer.Exit(2) from error
    found = problems(wanted)
    if not any(problem.severity == "error" for problem in found):
        found += check_shape(wanted)
    _refuse(config, found)
    if any(problem.severity == "error" for problem in found):
        raise typer.Exit(2)
    run = create_run(home(), wanted)
    tail = EventTail(run.events_path)
    pid = run.start("train")
    if detach:
        print_started(run.id, str(run.directory), pid, json)
        return
    if not json:
        typer.echo(f"{run.id}: Ctrl+C leaves it going", err=True)
    raise typer.Exit(follow(run, tail, json))


def print_started(run: str, directory: str, pid: int, json: bool) -> None:
    """What --detach says."""
    from core.events import encode

    if json:
        typer.echo(encode({"run": run, "directory": directory, "pid": pid}))
    else:
        typer.echo(f"{run} is running as process {pid}; `afina watch {run}` shows it")


def _refuse(config: Path, problems: list[FieldProblem]) -> None:
    """Every problem on a line of its own, warnings too."""
    for problem in problems:
        kind = "" if problem.severity == "error" else f"{problem.severity}: "
        typer.echo(f"{config}: {kind}{problem}", err=True)
