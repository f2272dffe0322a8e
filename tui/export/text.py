"""What the Export pane says: under its table, in its progress bar and in its strip."""

from __future__ import annotations

from rich.text import Text

from core.data.escape import visible
from core.figures import size
from exporters.job.export_spec import choices_of
from exporters.results import FAIL, PASS, Result
from tui.export.poller import JobView
from tui.export.rows import VERDICTS, ExportRows
from tui.theme import AMBER, GREEN, RED, SECONDARY, TEXT, YELLOW


def words_below(rows: ExportRows, index: int) -> list[tuple[str, str]]:
    """What stands under the table: this row's export, then every check that did not pass."""
    plan = rows.view.plan
    blocks = _of_row(rows, index)
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
    return blocks + [("note", note) for note in (plan.notes if plan else [])]


def _of_row(rows: ExportRows, index: int) -> list[tuple[str, str]]:
    """The export under the cursor: why it can't be, where it lies and how near it is, or what it
    would be.
    """
    wanted, result = rows.wanted_at(index), rows.result_at(index)
    if wanted is None:
        return []
    if problem := rows.problem_at(index):
        told = [("warning", problem.message), ("note", problem.hint)]
    elif result is not None:
        told = [("note", result.path), ("note", measured_words(result))]
    else:
        line = choices_of(wanted.kind)[wanted.type]
        items = rows.view.plan.items if rows.view.plan else []
        notes = [note for item in items if (item.kind, item.type) == (wanted.kind, wanted.type)
                 for note in item.notes]  # fmt: skip
        told = [("note", f"{wanted.kind} {wanted.type}: {line}"), *(("note", n) for n in notes)]
    return [*((kind, words) for kind, words in told if words), ("text", "")]


def measured_words(result: Result) -> str:
    """What was compared, in one line: perplexity 1.21 (tuned 1.20) · 4,096 tokens of 80 rows."""
    parts = []
    if result.perplexity is not None and result.perplexity_tuned is not None:
        parts.append(f"perplexity {result.perplexity:.3f}, of the tuned model "
                     f"{result.perplexity_tuned:.3f}")  # fmt: skip
    if result.rows:
        parts.append(f"{result.row_tokens:,} supervised tokens of {result.rows:,} rows")
    if result.prompts and result.agreement is not None:
        parts.append(f"{result.prompts} greedy answers alike over {result.agreement:.0%}")
    if result.snippets:
        parts.append(f"{result.snippets_equal} of {result.snippets} odd texts alike")
    return "; ".join(parts)


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
