"""`afina data stats` for people: figures, a histogram, and what each max_length would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tui.cli.data_report import count

if TYPE_CHECKING:
    from rich.console import Console

_BAR = 40  # cells of the longest bar
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_NAMED = 6  # labels, languages and roles on one line


def print_stats(fields: dict[str, Any], sample_model: bool) -> None:
    """Prints what `data stats --json` has; the fields are those of whole_stats and a few more."""
    from rich.console import Console
    from rich.text import Text

    from core.data.escape import visible

    console = Console(highlight=False)
    title = f"{fields['path']} · {fields['shape']} · {count(fields['rows'], 'row')}"
    console.print(Text(visible(title, newlines=False)), soft_wrap=True)
    if sample_model:
        said = "Tokens counted with the sample model; --model DIR for another."
        console.print(Text(said, "dim"))
    if fields["cached"]:
        console.print(Text("From the cache: the rows were counted before.", "dim"))
    tokens = fields["tokens"]
    if not tokens or not tokens["max"]:
        console.print(Text("No row has tokens; `afina data check` says why."))
        return
    console.print()
    _print_facts(console, fields)
    console.print()
    _print_histogram(console, tokens)
    console.print()
    _print_lengths(console, fields)
    _print_epoch(console, fields)


def _print_facts(console: Console, fields: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    from core.data.escape import visible

    tokens = fields["tokens"]
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_row(Text("tokens in a row"), Text(_spread(tokens)))
    table.add_row(Text("supervised"), Text(_spread(fields["supervised"])))
    whole = f"{tokens['tokens']:,} tokens"
    if tokens["supervised_tokens"]:  # classes are learned from whole rows
        whole += f", {tokens['supervised_share']:.1%} of them supervised"
    table.add_row(Text("in all"), Text(whole))
    if tokens["truncated"]:
        cut = f"{count(tokens['truncated'], 'row')} cut at {fields['max_length']:,}, "
        cut += f"{tokens['truncated_tokens']:,} tokens lost"
        table.add_row(Text("truncated"), Text(cut))
    if tokens["empty"]:
        table.add_row(Text("not usable"), Text(count(tokens["empty"], "row")))
    table.add_row(Text("turns in a row"), Text(_spread(fields["turns"])))
    for name in ("roles", "labels", "languages", "scripts"):
        if fields[name] and (name != "scripts" or len(fields[name]) > 1):
            table.add_row(Text(name), Text(visible(_shares(fields[name]), newlines=False)))
    console.print(table)


def _spread(values: dict[str, Any]) -> str:
    parts = (f"{name} {values[name]:,}" for name in ("p50", "p95", "p99"))
    return "   ".join([*parts, f"longest {values['max']:,}", f"mean {values['mean']:,.1f}"])


def _shares(counts: dict[str, int]) -> str:
    total = sum(counts.values())
    listed = [f"{name} {number / total:.1%}" for name, number in list(counts.items())[:_NAMED]]
    more = len(counts) - _NAMED
    return " · ".join([*listed, *([f"{more} more"] if more > 0 else [])])


def _print_histogram(console: Console, tokens: dict[str, Any]) -> None:
    from rich.text import Text

    bins, longest = tokens["histogram"], tokens["max"]
    most = max(bins)
    edges = [-(-place * longest // len(bins)) for place in range(len(bins) + 1)]
    width = len(f"{longest:,}")
    console.print(Text("tokens".rjust(2 * width + 3) + "  rows"))
    first = next(place for place, rows in enumerate(bins) if rows)
    for rows, low, high in list(zip(bins, edges, edges[1:], strict=False))[first:]:
        last = high if high == longest else max(low, high - 1)
        line = Text(f"{low:>{width},} - {last:>{width},}  ")
        line.append(_bar(rows / most), "cyan")
        line.append(f" {rows:,}" if rows else "")
        console.print(line, soft_wrap=True)


def _bar(share: float) -> str:
    eighths = round(share * _BAR * 8)
    if share:
        eighths = max(1, eighths)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _print_lengths(console: Console, fields: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("max_length", "rows cut", "tokens lost", "padding", "packed full", "steps"):
        table.add_column(name, justify="right")
    table.add_column("packed steps", justify="right")
    longest = fields["tokens"]["max"]
    for item in fields["lengths"]:
        chosen = item["max_length"] == fields["max_length"]
        cells = [
            f"{item['max_length']:,}",
            f"{item['rows_cut']:,}",
            f"{item['tokens_lost']:,}",
            f"{item['padding_share']:.1%}",
            f"{item['packing_efficiency']:.1%}",
            f"{item['steps_per_epoch']:,}",
            f"{item['packed_steps_per_epoch']:,}",
        ]
        table.add_row(*(Text(cell) for cell in cells), style="bold" if chosen else "")
        if item["max_length"] >= max(longest, fields["max_length"]):
            break  # longer ones cut nothing either
    console.print(table)


def _print_epoch(console: Console, fields: dict[str, Any]) -> None:
    from rich.text import Text

    from core.figures import duration

    epoch = fields["epoch"]
    said = f"One epoch at max_length {fields['max_length']:,}: {epoch['tokens']:,} tokens, "
    said += f"{count(epoch['steps'], 'step')} of {count(epoch['batch_rows'], 'row')}"
    said += f", packed {count(epoch['packed_steps'], 'step')}"
    if epoch["seconds"] is not None:
        said += f"; about {duration(epoch['seconds'])}, at the speed of {epoch['like_run']}"
    console.print(Text(f"{said}."), soft_wrap=True)
