"""`afina train`: starts a run from a configuration file and shows it; the run needs no terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.data.escape import visible
from core.errors import FieldProblem
from core.paths import home

if TYPE_CHECKING:
    from core.config import Config
    from core.plan.data_facts import DataFacts

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
    from core.events import EventTail
    from core.runs.run import create_run
    from tui.cli.follow import follow
    from tui.cli.plan_report import show_problems

    wanted, found = checked(config, overrides or [])
    show_problems(config, found)
    if any(problem.severity == "error" for problem in found):
        raise typer.Exit(2)
    _announce(config, wanted)
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


def checked(path: Path, overrides: Sequence[str]) -> tuple[Config, list[FieldProblem]]:
    """The configuration in a file, and all that can be said of it without loading the model.

    Where it can't even be read, its problems are told and the command ends with exit code 2.
    """
    from core.config import config_io
    from core.config.config_io import ConfigError
    from core.plan.objective import check_shape
    from core.runs.problems import run_problems
    from core.train.checks.preflight import files
    from exporters.support import why_not
    from tui.cli.plan_report import show_problems

    try:
        config = config_io.load(path, overrides)
    except ConfigError as error:
        show_problems(path, error.problems)
        raise typer.Exit(2) from error
    found = run_problems(home(), config)
    if any(problem.severity == "error" for problem in found):
        return config, found
    found += check_shape(config)
    found += files.problems(home(), config)
    if reason := why_not(config):
        found.append(reason)
    return config, found


def look(config: Config) -> DataFacts | None:
    """What a sample of the rows says; None where they are to be fetched from a hub first."""
    from core.data.files.hub import is_dataset_id
    from core.plan.plan import look_at_data

    return None if is_dataset_id(config.data.path) else look_at_data(config)


def _announce(path: Path, config: Config) -> None:
    """The plan's main lines and the code that will be run, before anything starts."""
    from core.errors import AfinaError
    from core.plan.plan import make_plan
    from tui.cli.plan_report import plan_lines

    typer.echo(f"{visible(str(path), newlines=False)}:", err=True)
    if config.train.custom_loss:
        code = visible(config.train.custom_loss, newlines=False)
        typer.echo(f"  runs      your own code: {code}", err=True)
    try:
        data = look(config)
        plan = make_plan(home(), config, data)
    except AfinaError as error:  # the run itself says it, with its log
        typer.echo(f"  no plan   {visible(str(error))}", err=True)
        return
    for line in plan_lines(config, plan, data):
        typer.echo(line, err=True)
