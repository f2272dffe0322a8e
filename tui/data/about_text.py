"""What the open file is, in words: container, files, shape, model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from core.data.escape import visible
from core.figures import size
from tui.data.dataset import Subject
from tui.data.rows import DataRows
from tui.data.state import FileState
from tui.data.text import shape_words
from tui.theme import SECONDARY, TEXT, YELLOW

LABEL_CELLS = 12
MOST_FILES = 200  # that are listed
LAYOUTS = {
    "lines": "one JSON value on each line",
    "array": "one JSON array of rows",
    "values": "JSON values one after another",
    "paragraphs": "texts with blank lines between",
    "document": "one text",
    "csv": "a table of text",
    "parquet": "Parquet, by row group",
    "arrow": "Arrow, by record batch",
    "files": "several files as one",
}


def about(rows: DataRows, state: FileState, subject: Subject) -> Text:
    """The whole text."""
    text = Text()
    for label, words in _facts(rows, state, subject):
        text.append(label.ljust(LABEL_CELLS), SECONDARY).append(f"{words}\n", TEXT)
    if rows.source is None:
        return text
    files = rows.source.files
    if len(files) > 1:
        text.append("\nfiles\n", SECONDARY)
        for path in files[:MOST_FILES]:
            text.append(f"  {visible(str(path), newlines=False)}\n")
        if len(files) > MOST_FILES:
            text.append(f"  and {len(files) - MOST_FILES:,} more\n", SECONDARY)
    if rows.source.problems:
        text.append("\nskipped or odd\n", SECONDARY)
        for problem in rows.source.problems:
            text.append(f"  {visible(problem.found, newlines=False)}\n", YELLOW)
            text.append(f"  {visible(problem.fix, newlines=False)}\n", SECONDARY)
    return text


def _facts(rows: DataRows, state: FileState, subject: Subject) -> Iterator[tuple[str, str]]:
    yield "path", visible(subject.path, newlines=False)
    for path, weight in subject.mix.items():
        yield "mixed with", f"{visible(path, newlines=False)}, each row {weight:g} times an epoch"
    source = rows.source
    if source is None:
        yield "state", state.trouble or state.progress()
        return
    files = source.files
    kept = " (from the cache)" if source.cached else ""
    yield "container", LAYOUTS.get(source.layout, source.layout)
    yield "rows", f"{rows.total:,}{'' if state.whole else ' found so far'}"
    yield "index", f"{'complete' if state.whole else state.progress() or 'stopped'}{kept}"
    yield "files", f"{len(files):,}, {size(_bytes(files))}"
    yield "shape", _shape(rows, state)
    if state.opened.get("keys"):
        yield "keys", visible(", ".join(map(str, state.opened["keys"])), newlines=False)
    yield from _model(state.opened.get("model"), subject)
    if state.trouble:
        yield "problem", state.trouble


def _bytes(files: list[Any]) -> int:
    total = 0
    for path in files:
        try:
            total += path.stat().st_size
        except OSError:
            continue
    return total


def _shape(rows: DataRows, state: FileState) -> str:
    opened = state.opened
    name = shape_words(rows.shape) or "unknown"
    if not opened:
        return name
    if opened["named"]:
        return f"{name}, as data.format says"
    return f"{name}, like {opened['share']:.0%} of {opened['sampled']:,} rows looked at"


def _model(model: dict[str, Any] | None, subject: Subject) -> Iterator[tuple[str, str]]:
    if model is None:
        return
    yield "tokenizer", f"{visible(subject.recipe.model)}, {model['vocab_size']:,} tokens"
    if not model["chat_template"]:
        yield "template", "none"
        return
    name = model.get("template_name") or "the model's own"
    marks = "marks" if model["generation_markers"] else "does not mark"
    yield "template", f"{visible(str(name))}; it {marks} what is learned"
    yield "ends with", " ".join(map(visible, model["stop_tokens"]))
