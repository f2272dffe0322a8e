"""The command line: `afina` opens the workbench, `afina COMMAND` does one thing and ends.

Errors for people are one line on stderr and exit code 2. Each command imports what it needs in its
own body, so that --help is quick.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from core.data.escape import visible
from core.errors import AfinaError
from tui.cli import chat, data, data_write, demo, doctor, export, plan, runs, train

app = typer.Typer(
    help="A terminal workbench for fine-tuning language models. Without a command it opens.",
    invoke_without_command=True,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data.app.command()(data_write.split)
data.app.command()(data_write.convert)
data.app.command()(data_write.write)
app.add_typer(data.app, name="data")
app.command()(train.train)
app.command()(plan.plan)
app.command("runs")(runs.runs)
app.command()(runs.watch)
app.command()(runs.stop)
app.command()(runs.pause)
app.command()(runs.checkpoint)
app.command()(runs.resume)
app.command()(chat.chat)
app.command(cls=export.ExportCommand)(export.export)
app.command()(doctor.doctor)
app.command()(demo.demo)


@app.callback()
def workbench(
    context: typer.Context,
    home: Annotated[
        Path | None, typer.Option(help="Folder of runs and caches; else $AFINA_HOME.")
    ] = None,
    readonly: Annotated[bool, typer.Option("--readonly", help="Look, but start nothing.")] = False,
    ascii: Annotated[bool, typer.Option("--ascii", help="Draw with ASCII only.")] = False,
    no_mouse: Annotated[bool, typer.Option("--no-mouse", help="Leave the mouse alone.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Opens the workbench when no command is named."""
    if version:
        from afina import __version__

        typer.echo(f"afina {__version__}")
        raise typer.Exit
    if home is not None:
        os.environ["AFINA_HOME"] = str(home.expanduser().resolve())
    if context.invoked_subcommand is None:
        from tui.cli.workbench import open_workbench

        open_workbench(readonly=readonly, ascii=ascii, mouse=not no_mouse)


def command() -> None:
    """Runs the command line; ends the process with its exit code."""
    try:
        app()
    except AfinaError as error:
        typer.echo(f"afina: {visible(str(error))}", err=True)
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output has gone, as in `afina runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
