"""How rows become tokens, in words: the template, what is learned, what a template of one's own
makes of a row.
"""

from __future__ import annotations

from typing import Any

from rich.text import Text

from core.data.escape import visible
from core.data.files.source import Row
from core.data.sample import Conversation
from core.data.shapes.read import Reader
from core.errors import AfinaError
from tui.theme import BLUE, SECONDARY, SEVERITY, TEAL, TEXT, YELLOW

MOST_PREVIEW = 600  # characters of a row
MODEL, FILE = "the model's own", "a file"


def recipe_words(model: dict[str, Any] | None, refusal: dict[str, str] | None) -> Text:
    """How the answers are found in the text, and what ends them. `model`, `refusal`: of `open`."""
    if refusal:
        return Text(f"{visible(refusal['message'])} {visible(refusal['hint'])}".strip(), YELLOW)
    if model is None:
        return Text("Encoding the rows anew.", SECONDARY)
    text = Text()
    if not model["chat_template"]:
        text.append("The model has no chat template: conversations can't be encoded.\n", YELLOW)
    else:
        how = (
            "by the template's own {% generation %} markers"
            if model["generation_markers"]
            else "by rendering prefix after prefix, as the template marks none"
        )
        text.append("answers      ", SECONDARY).append(f"found {how}\n", TEXT)
    stops = " ".join(model["stop_tokens"]) or "none: the model names no stop token"
    return text.append("stop tokens  ", SECONDARY).append(visible(stops), TEXT)


def preview(template: str, row: Row | None) -> Text:
    """What a template of one's own makes of a row: the prompt, and underlined what is learned."""
    if row is None or not isinstance(row.value, dict):
        return Text()
    columns = ", ".join(map(str, row.value))
    text = Text("columns      ", SECONDARY).append(visible(columns, newlines=False), BLUE)
    if not template:
        return text
    text.append("\n")
    try:
        reading = Reader("template", template).read(row)
    except AfinaError as error:
        return text.append(f"{visible(error.message)}\n{visible(error.hint)}", YELLOW)
    for problem in reading.problems[:2]:
        text.append(problem.check, f"bold {SEVERITY[problem.severity]}")
        text.append(f" {visible(problem.field)} {visible(problem.found)}\n", SECONDARY)
    sample = reading.sample
    if isinstance(sample, Conversation) and sample.plain is not None:
        prompt, completion = sample.plain
        text.append(visible(_cut(prompt)), TEXT)
        text.append(visible(_cut(completion)), f"underline {TEAL}")
    return text


def _cut(text: str) -> str:
    return text if len(text) <= MOST_PREVIEW else text[:MOST_PREVIEW] + "..."


def one_line(template: str | None) -> str:
    """A template as it is typed in a line."""
    return (template or "").replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


def from_line(line: str) -> str:
    """The template that was typed: \\n is a new line, \\t a tab, \\\\ a backslash."""
    parts = [part.replace("\\n", "\n").replace("\\t", "\t") for part in line.split("\\\\")]
    return "\\".join(parts)
