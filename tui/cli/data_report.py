"""How checks and rows are printed: for people, and as JSON for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from core.data.analysis.analysis import Analysis, Progress
    from core.data.encode.encoder import EncodedRow, Encoding
    from core.data.problems import RowProblem

LISTED = 40  # problems that are printed for people; --json prints all


def print_json(fields: dict[str, Any]) -> None:
    """One line of JSON. ASCII only, so that no data can control the terminal it is printed to."""
    import json

    typer.echo(json.dumps(fields))


def print_report_json(path: str, survey: Analysis) -> None:
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
        "cached": survey.cached,
        "seconds": round(survey.seconds, 3),
        "counts": dict(ledger.counts),
    }
    typer.echo(json.dumps(head)[:-1] + ', "problems": [', nl=False)
    for number, item in enumerate(ledger):
        typer.echo((", " if number else "") + json.dumps(msgspec.to_builtins(item)), nl=False)
    typer.echo("]}")


class Bar:
    """A progress bar on stderr, drawn only in a terminal."""

    def __enter__(self) -> Bar:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._bar.disable = not self._bar.console.is_terminal
        self._bar.start()
        self._task = self._bar.add_task("Opening", total=None)
        return self

    def tell(self, told: Progress) -> None:
        """Moves the bar; each phase begins it anew."""
        words = {"form": "Checking rows", "tokens": "Counting tokens", "near": "Comparing rows"}
        speed = f"{words[told.phase]}, {told.rows_per_s:,.0f} rows/s"
        self._bar.update(self._task, description=speed, completed=told.done, total=told.total)

    def stop(self) -> None:
        """Takes the bar away, before anything is printed."""
        self._bar.stop()

    def __exit__(self, *exc: object) -> None:
        self.stop()


def print_report(path: str, survey: Analysis) -> None:
    from rich.console import Console
    from rich.text import Text

    from core.data.escape import visible

    console = Console(highlight=False)
    subject, ledger = survey.subject, survey.ledger
    title = f"{path} · {subject.reader.shape} · {count(survey.rows, 'row')}"
    if 0.0 < subject.share < 1.0:
        title += f" · {subject.share:.0%} of the sampled rows have this shape"
    console.print(Text(visible(title, newlines=False)), soft_wrap=True)
    if subject.encoder is None:
        console.print(Text("Form only; the checks on tokens need --model DIR.", "dim"))
    if survey.cached:
        console.print(Text("From the cache: the file was checked before.", "dim"))
    shown, total = ledger.page(limit=LISTED)
    for item in shown:
        _print_problem(console, item)
    if total > len(shown):
        console.print(Text(f"... and {total - len(shown):,} more; --json lists all."))
    for name, rows in ledger.counts.most_common():
        console.print(Text(f"{rows:7,}  {name}"))
    console.print(Text(f"{count(ledger.errors, 'error')}, {count(ledger.warnings, 'warning')}"))


def count(number: int, word: str) -> str:
    """1 row, 1,204 rows."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def _print_problem(console: Console, item: RowProblem) -> None:
    """A line such as "row 7 messages[2].role error unrecognized_role: found ...", then the fix.

    Never broken into more lines, so that they can be searched.
    """
    from rich.text import Text

    from core.data.escape import visible

    styles = {"error": "red", "warning": "yellow"}
    place = f"row {item.row}" if item.row else "file"
    field = f" {item.field}" if item.field else ""
    line = Text(f"{place + visible(field, newlines=False):<6} ")
    line.append(f"{item.severity} {item.check}", styles.get(item.severity, "dim"))
    said = f": found {item.found}, expected {item.expected}"
    line.append(visible(said, newlines=False))
    console.print(line, soft_wrap=True)
    console.print(Text(f"       {visible(item.fix, newlines=False)}", "dim"), soft_wrap=True)


def print_row(item: EncodedRow, sample_model: bool) -> None:
    """A row as the model sees it; of a preference both answers, and the label where it has one."""
    from rich.console import Console
    from rich.text import Text

    from core.data.escape import visible

    console = Console(highlight=False)
    encoding = item.encoding
    place = f"row {item.row.number} · line {item.row.line}"
    console.print(Text(f"{place} · {_counts(encoding)}"))
    if sample_model:
        console.print(Text("Tokens of the sample model; --model DIR for another.", "dim"))
    if encoding.label is not None:
        label = _label_word(encoding.label)
        console.print(Text(visible(f"label: {label}", newlines=False)), soft_wrap=True)
    if encoding.rejected is not None:
        console.print(Text("chosen:", "dim"))
    _print_tokens(console, encoding)
    if encoding.rejected is not None:
        console.print(Text(f"rejected: {_counts(encoding.rejected)}", "dim"))
        _print_tokens(console, encoding.rejected)
    for found in encoding.problems:
        _print_problem(console, found)
    if encoding.supervised_tokens:
        console.print(Text(_legend(encoding), "dim"))


def _legend(encoding: Encoding) -> str:
    if encoding.rejected is not None:
        return "Underlined tokens are compared: the chosen ones are to become likelier."
    if encoding.label is False:
        return "Underlined tokens are to become less likely."
    return "Underlined tokens are learned."


def _label_word(label: bool | int | str) -> str:
    """A label as it is written in a file: true and false, else the value."""
    return str(label).lower() if isinstance(label, bool) else str(label)


def _counts(encoding: Encoding) -> str:
    counts = f"{count(len(encoding.ids), 'token')} · {encoding.supervised_tokens:,} supervised"
    if encoding.truncated_tokens:
        counts += f" · {encoding.truncated_tokens:,} cut"
    return counts


def _print_tokens(console: Console, encoding: Encoding) -> None:
    from rich.text import Text

    from core.data.escape import visible
    from core.data.report import token_pieces

    drawn, read = Text(), 0
    for piece, learned in zip(token_pieces(encoding), encoding.supervised, strict=True):
        drawn.append(visible(piece), "underline green" if learned else "")
        read += len(piece)
    drawn.append(visible(encoding.text[read:]), "strike dim")
    console.print(drawn, soft_wrap=True)
