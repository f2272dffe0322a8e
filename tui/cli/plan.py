"""`afina plan`: what a run will take before it starts; with --probe two real steps are measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tui.cli.train import ConfigFile, Overrides

if TYPE_CHECKING:
    from core.config import Config
    from core.plan.data_facts import DataFacts


def plan(
    config: ConfigFile,
    overrides: Overrides = None,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="Measure: two real steps at two sizes of the batch, in a process of their own. "
            "Ctrl+C ends it.",
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """What a run will take: steps, memory, time, disk. Exit code 2 on a bad config, 1 where a
    probe says that it doesn't fit.
    """
    from core.events import encode
    from core.paths import home
    from core.plan.plan import make_plan
    from tui.cli import plan_report
    from tui.cli.train import checked, look

    wanted, problems = checked(config, overrides or [])
    plan_report.show_problems(config, problems)
    if any(problem.severity == "error" for problem in problems):
        raise typer.Exit(2)
    data = look(wanted)
    if probe:
        _probe(wanted)
    made = make_plan(home(), wanted, data)
    if json:
        typer.echo(encode(plan_report.plan_fields(wanted, made, data, problems)))
    else:
        _show(config, wanted, made, data)
    if probe and not made.fits:
        raise typer.Exit(1)


def _show(path: Path, config: Config, made, data: DataFacts | None) -> None:  # noqa: ANN001
    from tui.cli import plan_report

    typer.echo(f"{path} on {made.device.name}")
    for line in (*plan_report.plan_lines(config, made, data), *plan_report.more_lines(made)):
        typer.echo(line)
    if made.probe is None:
        typer.echo("  `afina plan CONFIG --probe` measures memory and time with two real steps")


def _probe(config: Config) -> None:
    """Probes and tells each thing on stderr; what comes out is kept for the plan."""
    from core.errors import AfinaError
    from core.paths import home
    from core.plan.probe import Probing
    from tui.cli.plan_report import point_words

    probing = Probing(config, home())
    try:
        for event in probing.events():
            if event["kind"] == "phase":
                typer.echo(f"  {event['name']}", err=True)
            elif event["kind"] == "point":
                typer.echo(f"    {point_words(event['point'])}", err=True)
            elif event["kind"] == "failure":
                raise AfinaError(event["message"], event["hint"])
    except KeyboardInterrupt:
        probing.cancel()
        typer.echo("the probe was ended; nothing of it is left", err=True)
        raise typer.Exit(130) from None
