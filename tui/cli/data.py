"""`afina data`: what is wrong with a data file, and what the model sees of a row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from core.data.encode.encoder import EncodedRow
    from core.data.problems import RowProblem
    from core.data.survey.survey import Progress, Survey

app = typer.Typer(
    help="Look at training data: exactly what the model will see.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

LISTED = 40  # problems that are printed for people; --json prints all
File = Annotated[Path, typer.Argument(help="A data file: .jsonl, .ndjson, .json, .txt or .md.")]
Model = Annotated[
    str | None, typer.Option(help="Model folder whose tokenizer and template are used.")
]
MaxLength = Annotated[int, typer.Option(min=1, help="Tokens that are kept of a row.")]
Supervise = Annotated[str, typer.Option(help="What is learned: assistant, last_assistant or all.")]
Shape = Annotated[str | None, typer.Option(help="The rows' shape, if the guess is wrong.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command()
def check(
    file: File,
    model: Model = None,
    max_length: MaxLength = 512,
    supervise: Supervise = "assistant",
    shape: Shape = None,
    as_json: Json = False,
) -> None:
    """Lists every problem of a file. Exit code 0: none, 1: some, 2: it can't be read.

    Notes are listed, but a file with nothing else has no problems.
    """
    from core.data.recipe import Recipe
    from core.data.survey.checks import Inquiry, surveyed

    recipe = Recipe(model or "", None, max_length, supervise, shape)
    with _progress() as progress, surveyed(file, recipe, Inquiry(cache=True), progress) as survey:
        if as_json:
            _print_report_json(str(file), survey)
        else:
            _print_report(str(file), survey)
        clean = not survey.ledger.errors and not survey.ledger.warnings
    raise typer.Exit(0 if clean else 1)


@app.command()
def show(
    file: File,
    row: Annotated[int, typer.Option(min=1, help="The row, counted from 1.")] = 1,
    model: Model = None,
    max_length: MaxLength = 512,
    supervise: Supervise = "assistant",
    shape: Shape = None,
    as_json: Json = False,
) -> None:
    """Shows one row as the model sees it: tokens, and which of them it learns.

    Exit code 1 for a row that can't be learned from.
    """
    from core.data.recipe import Recipe
    from core.data.report import load_row, row_fields

    item = load_row(file, row, Recipe(_model(model), None, max_length, supervise, shape))
    if as_json:
        _print_json(row_fields(item))
    else:
        _print_row(item)
    raise typer.Exit(0 if item.encoding.usable else 1)


def _model(given: str | None) -> str:
    """The model named, else the sample model."""
    from core.errors import AfinaError
    from core.paths import SAMPLE_DATA

    if given is not None:
        return given
    folder = SAMPLE_DATA / "tiny-travel"
    if not (folder / "tokenizer.json").is_file():
        raise AfinaError(
            f'The sample model is not at "{folder}".', "Name a model folder with --model DIR."
        )
    return str(folder)


def _print_json(fields: dict[str, Any]) -> None:
    """One line of JSON. ASCII only, so that no data can control the terminal it is printed to."""
    import json

    typer.echo(json.dumps(fields))


def _print_report_json(path: str, survey: Survey) -> None:
    """One object on one line; its problems are written as they are read, never all in memory."""
    import json

    import msgspec

    subject, ledger = survey.subject, survey.ledger
    head = {
        "path": path,
        "shape": subject.reader.shape,
        "share": subject.share,
        "rows": survey.rows,
        "errors": ledger.errors,
        "warnings": ledger.warnings,
        "notes": ledger.notes,
        "tokens_checked": subject.encoder is not None,
        "counts": dict(ledger.counts),
    }
    typer.echo(json.dumps(head)[:-1] + ', "problems": [', nl=False)
    for number, item in enumerate(ledger):
        typer.echo((", " if number else "") + json.dumps(msgspec.to_builtins(item)), nl=False)
    typer.echo("]}")


class _progress:
    """A progress bar on stderr, drawn only in a terminal."""

    def __enter__(self) -> Callable[[Progress], None]:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._bar.disable = not self._bar.console.is_terminal
        self._bar.start()
        self._task = self._bar.add_task("Opening", total=None)
        return self._tell

    def _tell(self, told: Progress) -> None:
        words = {"form": "Checking rows", "tokens": "Checking tokens", "near": "Comparing rows"}
        speed = f"{words[told.phase]}, {told.rows_per_s:,.0f} rows/s"
        self._bar.update(self._task, description=speed, completed=told.done, total=told.total)

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()


def _print_report(path: str, survey: Survey) -> None:
    from rich.console import Console
    from rich.text import Text

    from core.data.visible import visible

    console = Console(highlight=False)
    subject, ledger = survey.subject, survey.ledger
    title = f"{path} · {subject.reader.shape} · {_count(survey.rows, 'row')}"
    if 0.0 < subject.share < 1.0:
        title += f" · {subject.share:.0%} of the sampled rows have this shape"
    console.print(Text(visible(title, newlines=False)), soft_wrap=True)
    if subject.encoder is None:
        console.print(Text("Form only; the checks on tokens need --model DIR.", "dim"))
    shown, total = ledger.page(limit=LISTED)
    for item in shown:
        _print_problem(console, item)
    if total > len(shown):
        console.print(Text(f"... and {total - len(shown):,} more; --json lists all."))
    for name, count in ledger.counts.most_common():
        console.print(Text(f"{count:7,}  {name}"))
    console.print(Text(f"{_count(ledger.errors, 'error')}, {_count(ledger.warnings, 'warning')}"))


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def _print_problem(console: Console, item: RowProblem) -> None:
    """A line such as "row 7 messages[2].role error unrecognized_role: found ...", then the fix.

    Never broken into more lines, so that they can be searched.
    """
    from rich.text import Text

    from core.data.visible import visible

    styles = {"error": "red", "warning": "yellow"}
    place = f"row {item.row}" if item.row else "file"
    field = f" {item.field}" if item.field else ""
    line = Text(f"{place + visible(field, newlines=False):<6} ")
    line.append(f"{item.severity} {item.check}", styles.get(item.severity, "dim"))
    said = f": found {item.found}, expected {item.expected}"
    line.append(visible(said, newlines=False))
    console.print(line, soft_wrap=True)
    console.print(Text(f"       {visible(item.fix, newlines=False)}", "dim"), soft_wrap=True)


def _print_row(item: EncodedRow) -> None:
    from rich.console import Console
    from rich.text import Text

    from core.data.report import token_pieces
    from core.data.visible import visible

    console = Console(highlight=False)
    encoding = item.encoding
    counts = f"{len(encoding.ids):,} tokens · {encoding.supervised_tokens:,} supervised"
    if encoding.truncated_tokens:
        counts += f" · {encoding.truncated_tokens:,} cut"
    console.print(Text(f"row {item.row.number} · line {item.row.line} · {counts}"))
    drawn = Text()
    for piece, learned in zip(token_pieces(encoding), encoding.supervised, strict=True):
        drawn.append(visible(piece), "underline green" if learned else "")
    lost = encoding.text[len(drawn.plain) :]
    drawn.append(visible(lost), "strike dim")
    console.print(drawn, soft_wrap=True)
    for found in encoding.problems:
        _print_problem(console, found)
    if encoding.ids:
        console.print(Text("Underlined tokens are learned.", "dim"))
