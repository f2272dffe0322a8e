"""What the Export pane says: under its table, in its progress bar and in its strip."""

from __future__ import annotations

from rich.text import Text

from core.data.visible import visible
from core.figures import size
from exporters.gguf.types import TYPES
from exporters.job.results import FAIL, PASS, Result
from tui.screens.export_feed import JobView
from tui.screens.export_rows import VERDICTS, ExportRows
from tui.theme import AMBER, GREEN, RED, SECONDARY, TEXT, YELLOW


def words_below(rows: ExportRows, index: int) -> list[tuple[str, str]]:
    """What stands under the table: the file of this row, then every check that did not pass."""
    blocks: list[tuple[str, str]] = []
    name, result = rows.type_at(index), rows.result_at(index)
    if result is not None:
        blocks += [("note", result.path), ("text", "")]
    elif name is not None:
        blocks += [("note", f"gguf {name}: {TYPES[name].description}"), ("text", "")]
    for each in rows.view.results:
        failed = [check for check in each.checks if check.verdict != PASS]
        if not failed:
            continue
        kind = "error" if each.verdict == FAIL else "warning"
        blocks.append((kind, f"{rows.symbols.problem} {each.kind} {each.type}"))
        for check in failed:
            blocks.append(("text", f"  {check.message}"))
            if check.hint:
                blocks.append(("note", f"  {check.hint}"))
        blocks.append(("text", ""))
    notes = rows.view.plan.notes if rows.view.plan else []
    return blocks + [("note", note) for note in notes]


def progress_words(job: JobView) -> str:
    """120/291 tensors, or 3.1 of 9.6 MiB."""
    if job.unit == "bytes":
        return f"{size(job.done)} of {size(job.total)}"
    return f"{job.done}/{job.total} {job.unit}".rstrip()


def job_words(job: JobView, live: str, problem: str) -> Text:
    """The strip: what the job is at, or how it ended."""
    line = Text(no_wrap=True, overflow="ellipsis")
    if job.active:
        line.append(f"{live} ", GREEN).append(visible(job.phase or job.state, newlines=False), TEXT)
        if job.detail and job.detail not in job.phase:
            line.append(f"  {visible(job.detail, newlines=False)}", SECONDARY)
        return line.append_text(keys_line(("c", "cancel")))
    if job.state == "done":
        return line.append(visible(job.reason), TEXT).append_text(
            keys_line(("enter", "chat with it"))
        )
    failure = job.failure or {}
    color = YELLOW if job.state == "stopped" else RED
    line.append(f"{problem} {job.state}: ", f"bold {color}")
    line.append(visible(str(failure.get("message") or job.reason), newlines=False), TEXT)
    return line.append(f" {visible(str(failure.get('hint') or ''), newlines=False)}", SECONDARY)


def results_words(results: list[Result]) -> Text:
    """The strip while no job is there: 4 exported:  2 pass  1 warn  1 fail."""
    if not results:
        return Text.assemble(("Nothing is exported yet", TEXT), keys_line(("x", "export")))
    line = Text(f"{len(results)} exported:", TEXT)
    for verdict, color in VERDICTS.items():
        count = sum(result.verdict == verdict for result in results)
        if count:
            line.append(f"  {count} ", TEXT).append(verdict, color)
    return line


def keys_line(*keys: tuple[str, str]) -> Text:
    line = Text()
    for key, label in keys:
        line.append("   ").append(key, f"bold {AMBER}").append(f" {label}", SECONDARY)
    return line
