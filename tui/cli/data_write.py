"""`afina data split`, `data convert` and `data write`: new files made of the rows of a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from core.data.edit.split_files import SplitReport
    from core.data.edit.writer import Written
    from core.data.files.source import Source
    from core.data.shapes.read import Reader

LISTED = 8  # row numbers that are printed for people; --json prints all
File = Annotated[str, typer.Argument(help="A data file, a folder of them, or a pattern.")]
Out = Annotated[Path, typer.Option(help="New file: .jsonl, or .jsonl.gz.")]
Shape = Annotated[str | None, typer.Option(help="The rows' shape, if the guess is wrong.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace a file that is there already.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def split(
    file: File,
    out: Annotated[Path, typer.Option(help="Folder for train.jsonl and eval.jsonl.")],
    share: Annotated[
        float | None,
        typer.Option("--eval", help="Share to evaluate with; by default 0.1 to 0.2, with why."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(help='Give each value its share: "label", or a field such as meta.topic.'),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed parts the same rows.")] = 42,
    near: Annotated[
        bool, typer.Option("--near", help="Rows that are nearly the same stay together too.")
    ] = False,
    shape: Shape = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Parts the rows into train.jsonl and eval.jsonl. Copies of a row stay on one side.

    Rows keep their bytes. With the same seed and share these are the rows that training on the
    whole file would split off.
    """
    from core.data.edit.edits import Edits
    from core.data.edit.split_files import SplitTask, split_file

    with _opened(file, shape) as (source, reader), _progress("Parting rows") as tell:
        task = SplitTask(source, reader, share, by, seed, near)
        report = split_file(task, out, overwrite, tell)
        report.pending = len(Edits.load(source))
    if as_json:
        _print_json(report.fields())
    else:
        _print_split(report)


def convert(
    file: File,
    to: Annotated[str, typer.Option(help="openai, sharegpt, alpaca or trl.")],
    out: Out,
    skip: Annotated[bool, typer.Option("--skip", help="Leave rows out that don't fit.")] = False,
    shape: Shape = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Writes the rows in the form of another tool, and says what that form has no place for.

    Exit code 1, and no file, where rows don't fit and --skip is not given.
    """
    from core.data.edit.convert import target
    from core.data.edit.writer import Task, write_file

    form = target(to)
    with _opened(file, shape) as (source, reader), _progress("Converting rows") as tell:
        task = Task(source, reader, target=form)
        report = write_file(task, out, overwrite, tell, complete=not skip)
    _print_written(file, report, as_json)
    if not report.path:
        _say("No file is written: --skip leaves these rows out.", err=True)
        raise typer.Exit(1)


def write(
    file: File,
    out: Out,
    drop_errors: Annotated[
        bool, typer.Option("--drop-errors", help="Leave rows out that can't be learned from.")
    ] = False,
    drop_warnings: Annotated[
        list[str] | None,
        typer.Option(metavar="CHECK", help="Leave rows out with this problem; may be repeated."),
    ] = None,
    dedupe: Annotated[
        bool, typer.Option("--dedupe", help="Keep only the first of rows that say the same.")
    ] = False,
    dedupe_near: Annotated[
        bool, typer.Option("--dedupe-near", help="The same for rows that say nearly the same.")
    ] = False,
    filter_by: Annotated[
        str | None,
        typer.Option("--filter", metavar="EXPR", help="Keep rows that fit, as in the Data pane."),
    ] = None,
    truncate: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Cut rows to N tokens: whole exchanges, the oldest first."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Model folder: adds the checks on tokens; for --truncate.")
    ] = None,
    edits: Annotated[
        bool, typer.Option("--apply-edits/--no-edits", help="Apply what is edited and not written.")
    ] = True,
    shape: Shape = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Writes the rows to a new file, edited and mended, and says what changed.

    Rows that nothing changes keep their bytes. --truncate takes whole exchanges out of a
    conversation, the oldest first, and keeps its system prompt and its last exchange; a text ends
    at the border of a token; what can't be cut like this is left out. --filter is asked of the rows
    as the file has them, such as: turns >= 3 and not "truncated" in problems
    """
    from core.data.edit.edits import Edits
    from core.data.edit.filter import filter_rows, parse_filter
    from core.data.edit.writer import Fixes, Task, write_file
    from core.data.recipe import Recipe
    from core.errors import AfinaError

    if truncate is not None and model is None:
        raise AfinaError("--truncate counts tokens, so it needs a model.", "Add --model DIR.")
    if filter_by is not None:
        parse_filter(filter_by, model is not None)
    fixes = Fixes(
        drop_errors=drop_errors,
        drop_checks=tuple(drop_warnings or ()),
        drop_duplicates=dedupe,
        drop_near=dedupe_near,
        truncate=truncate is not None,
    )
    recipe = Recipe(model or "", None, truncate, shape=shape)
    encoder = recipe.encoder() if model is not None else None
    with _opened(file, shape) as (source, reader), _progress("Writing rows") as tell:
        pending = Edits.load(source) if edits else None
        task = Task(source, reader, encoder, pending, fixes=fixes)
        if filter_by is not None:
            task.passed = filter_rows(file, recipe, filter_by, Edits.load(source))
        report = write_file(task, out, overwrite, tell)
    _print_written(file, report, as_json)


class _opened:
    """A source with the way its rows are read; closed at the end."""

    def __init__(self, file: str, shape: str | None) -> None:
        self._file, self._shape = file, shape

    def __enter__(self) -> tuple[Source, Reader]:
        from core.data.files.source import open_source
        from core.data.recipe import Recipe

        self._source = open_source(self._file)
        try:
            return self._source, Recipe(shape=self._shape).reader(self._source)
        except BaseException:
            self._source.close()
            raise

    def __exit__(self, *exc: object) -> None:
        self._source.close()


class _progress:
    """A progress bar on stderr, drawn only in a terminal."""

    def __init__(self, title: str) -> None:
        self._title = title

    def __enter__(self) -> Callable[[int, int], None]:
        from rich.console import Console
        from rich.progress import Progress

        self._bar = Progress(console=Console(stderr=True), transient=True)
        self._bar.disable = not self._bar.console.is_terminal
        self._bar.start()
        task = self._bar.add_task(self._title, total=None)
        return lambda done, total: self._bar.update(task, completed=done, total=total)

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()


def _print_json(fields: dict[str, Any]) -> None:
    """One line of JSON. ASCII only, so that no data can control the terminal it is printed to."""
    import json

    typer.echo(json.dumps(fields))


def _say(words: str, err: bool = False) -> None:
    """A line for people; what comes from data in it is shown, never obeyed."""
    from rich.console import Console
    from rich.text import Text

    from core.data.escape import visible

    console: Console = Console(highlight=False, stderr=err)
    console.print(Text(visible(words, newlines=False)), soft_wrap=True)


def _print_written(file: str, report: Written, as_json: bool) -> None:
    from core.data.edit.convert import LOSSES, UNFIT

    if as_json:
        _print_json(report.fields())
        return
    if report.edited:
        _say(f"edited     {_rows(report.edited)}")
    if report.edits_without_row:
        lost = _count(report.edits_without_row, "edit")
        _say(f"kept back  {lost} whose row is no longer in the file")
    if report.truncated:
        cut = f"{report.truncated_tokens:,} tokens shorter"
        _say(f"truncated  {_rows(report.truncated)}, {cut} in all")
    _list("lost", report.lost, LOSSES)
    _list("left out", report.dropped, UNFIT)
    if report.path:
        into = f"{report.path} ({report.bytes:,} bytes)"
        _say(f"{report.rows:,} of {_count(report.rows_in, 'row')} written to {into}.")


def _list(title: str, found: Mapping[str, list[int]], words: Mapping[str, str]) -> None:
    """A line for each kind, with what it means and the rows it is about."""
    for kind, rows in found.items():
        meaning = f": {words[kind]}" if kind in words else ""
        _say(f"{title:<9}  {kind}{meaning}; {_rows(rows)}")


def _print_split(report: SplitReport) -> None:
    _say(f"{report.eval_rows:,} of {_count(report.rows, 'row')} are held out: {report.reason}.")
    if report.groups:
        groups = _count(report.groups, "group")
        near = " or near copies" if report.near else ""
        _say(f"{groups} of copies{near}, {report.grouped_rows:,} rows, stay together.")
    if report.unreadable:
        _say(f"{_count(report.unreadable, 'row')} can't be used as it is, and was parted too.")
    if report.left_out:
        _say(f"left out   {_rows(report.left_out)}, which can't be read at all.")
    for item in report.classes:
        _say(f"{item.train:9,} {item.eval:9,}  {item.value}")
    if report.unjudged:
        names = ", ".join(map(str, report.unjudged))
        _say(f"Too few rows to evaluate with: {names}.")
    if report.pending:
        edits = _count(report.pending, "edit")
        _say(f"{edits} not written yet, and not in these files: `afina data write` first.")
    _say(f"{report.train_rows:,} rows written to {report.train}")
    _say(f"{report.eval_rows:,} rows written to {report.eval}")


def _rows(numbers: list[int]) -> str:
    """ "3 rows: 4, 7, 9"; no more than some of the numbers."""
    if not numbers:
        return "0 rows"
    shown = ", ".join(f"{number}" for number in numbers[:LISTED])
    more = ", ..." if len(numbers) > LISTED else ""
    return f"{_count(len(numbers), 'row')}: {shown}{more}"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"
