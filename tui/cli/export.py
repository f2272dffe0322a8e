"""`afina export`: a run or a model as files for other programs, checked on the way."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from core.errors import AfinaError

if TYPE_CHECKING:
    from core.jobs import Job
    from exporters.contract import Options

TargetWord = Annotated[str, typer.Argument(help="A run, RUN@STEP, RUN@base or a model folder.")]
To = Annotated[
    list[str],
    typer.Option(
        "--to",
        metavar="KIND:TYPE,...",
        help="What to write: gguf:q4_k_m,q8_0, gguf:lora, onnx:int4, merged; may be repeated.",
    ),
]
Adapters = Annotated[
    list[str],
    typer.Option(
        "--adapter",
        metavar="DIR",
        help="Adapter laid over a model folder; repeated, each is exported.",
    ),
]
Imatrix = Annotated[
    str | None,
    typer.Option(
        metavar="[TEXTFILE]",
        help="Weigh what the model computes with when GGUF types round: on the run's own data, or "
        "on a text file. Types that need it always do.",
    ),
]
LlamaCpp = Annotated[
    str | None,
    typer.Option(
        "--llama-cpp",
        metavar="DIR",
        help="llama.cpp's sources; its converter does the models that Afina's own refuses. Else "
        "$LLAMA_CPP_DIR.",
    ),
]


class ExportCommand(TyperCommand):
    """Lets --imatrix stand alone."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _filled(args))


def _filled(words: Sequence[str]) -> list[str]:
    """The words with an empty value after an --imatrix that has none."""
    following = [*words[1:], "--"]
    return [
        f"{word}=" if word == "--imatrix" and after.startswith("-") else word
        for word, after in zip(words, following, strict=True)
    ]


def export(
    target: TargetWord,
    to: To = [],  # noqa: B006 - typer reads it, nobody changes it
    adapter: Adapters = [],  # noqa: B006
    imatrix: Imatrix = None,
    llama_cpp: LlamaCpp = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what it would write and need; write nothing.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Start it and return; it goes on without a terminal.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Export a tuned model to GGUF, ONNX or merged weights, checked against what was trained.

    Exit code 1 when an export is not what was trained or could not be written, 2 when none can be.
    """
    from exporters.contract import Options

    options = Options(imatrix, llama_cpp)
    each = [*adapter] or [None]
    if len(each) > 1 and detach:
        raise AfinaError(
            "--detach starts one export, and each adapter is one.",
            "Name one adapter, or leave out --detach.",
        )
    if plan:
        _plan(target, to, each, options, json)
    else:
        _export(target, to, each, options, detach, json)


def _plan(
    target: str, to: list[str], adapters: Sequence[str | None], options: Options, json: bool
) -> None:
    """The plan of each adapter on stdout; what stands in its way as the command's error."""
    import msgspec

    from core.paths import home
    from exporters.job.plan import make_plan, refuse
    from tui.cli.export_report import print_plan

    plans = [make_plan(home(), target, to, adapter, options) for adapter in adapters]
    if json:
        fields = [msgspec.to_builtins(plan) for plan in plans]
        typer.echo(json_module.dumps(fields[0] if len(fields) == 1 else fields))
    else:
        for plan in plans:
            print_plan(plan)
    for plan in plans:
        refuse(plan)


def _export(
    target: str,
    to: list[str],
    adapters: Sequence[str | None],
    options: Options,
    detach: bool,
    json: bool,
) -> None:
    from core.paths import home
    from exporters.job.plan import make_plan, refuse
    from exporters.job.request import create_export
    from tui.cli.export_report import print_results

    if len(adapters) > 1:  # nothing begins before all are known to be possible
        for adapter in adapters:
            refuse(make_plan(home(), target, to, adapter, options))
    found: dict[str, list[Any]] = {"files": [], "parity": [], "failures": []}
    for adapter in adapters:
        # after the one before, whose folder it must not take where two adapters have one name
        job = create_export(home(), target, to, adapter, options)
        pid = job.start("export")
        if detach:
            _print_started(job, pid, json)
            return
        result = follow_export(job)
        for name, rows in found.items():
            rows += result[name]
        if not json:
            print_results(result)
    if json:
        typer.echo(json_module.dumps(found))
    wrong = any(row["verdict"] == "fail" for row in found["parity"])
    raise typer.Exit(1 if wrong or found["failures"] else 0)


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
    from core.events import EventTail
    from core.runs.curves import last
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
        hint = "" if state.state == "stopped" else f"Its log: {job.log_path}"
        raise AfinaError(f"The export {state.state}: {state.reason}", hint)
    return result
