"""A text that a person wrote, with columns of the row in braces: the shape "template".

"### Question: {prompt}\\n### Answer: {response}": what the last field adds, and the text behind it,
is the completion; everything before it is the prompt. `{{` and `}}` are braces.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import msgspec

from core.data.problems import ERROR, WARNING, RowProblem, kind_of, listing, problem
from core.data.sample import Conversation, Reading
from core.data.shapes.conversations import Value, wrong_shape
from core.data.shapes.turn_checks import control_problems
from core.errors import AfinaError

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_HINT = "Write a column as {question}; {{ and }} stand for braces."


class PromptTemplate(msgspec.Struct, frozen=True):
    """Text and columns by turns: literals[0], columns[0], literals[1], ..., the last literal."""

    literals: tuple[str, ...]  # one more than columns
    columns: tuple[str, ...]


@lru_cache(maxsize=16)
def parse_prompt_template(text: str) -> PromptTemplate:
    """Reads a template; raises AfinaError that points at the column where it breaks."""
    literals, columns = [""], []
    done = 0
    for piece in _PIECE.finditer(text):
        literals[-1] += text[done : piece.start()]
        done = piece.end()
        if piece[0] in ("{{", "}}"):
            literals[-1] += piece[0][0]
        elif piece[1] is None:
            reason = "is never closed" if piece[0] == "{" else "closes nothing"
            raise _broken(text, piece.start(), f'"{piece[0]}" {reason}')
        elif not piece[1].strip():
            raise _broken(text, piece.start(), '"{}" names no column')
        else:
            columns.append(piece[1].strip())
            literals.append("")
    literals[-1] += text[done:]
    if not columns:
        raise AfinaError(f"The prompt template has no field: {_shown(text)}", _HINT)
    return PromptTemplate(tuple(literals), tuple(columns))


def _broken(text: str, at: int, reason: str) -> AfinaError:
    return AfinaError(
        f"The prompt template breaks at column {at + 1}: {reason}, in {_shown(text)}", _HINT
    )


def _shown(text: str) -> str:
    return msgspec.json.encode(text if len(text) <= 80 else f"{text[:79]}…").decode()


def read_columns(value: Value, template: PromptTemplate) -> Reading:
    """The row's columns in their places; never run through a chat template."""
    if not isinstance(value, dict):
        return Reading(None, [wrong_shape("columns", value)])
    problems: list[RowProblem] = []
    last = len(template.columns) - 1
    texts = [
        _written(value, column, problems, needed=place == last)
        for place, column in enumerate(template.columns)
    ]
    if any(item.severity == ERROR for item in problems):
        return Reading(None, problems)
    for column, text in zip(template.columns, texts, strict=True):
        problems += control_problems(text, column)
    pairs = zip(template.literals, texts, strict=False)  # the last literal has no text behind it
    prompt = "".join(part for pair in pairs for part in pair)[: -len(texts[-1])]
    completion = texts[-1] + template.literals[-1]
    messages = [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": completion},
    ]
    sample = Conversation(messages, None, frozenset(), 1, (prompt, completion), as_written=True)
    return Reading(sample, problems)


def _written(value: dict[str, Any], column: str, into: list[RowProblem], needed: bool) -> str:
    """A column's value as text; `needed` is the last one, from which the model learns."""
    if column not in value:
        there = f"the columns {listing(value)}" if value else "no columns"
        fix = "Correct the name in the template, or drop the row."
        into.append(problem("unknown_column", column, there, f'the column "{column}"', fix))
        return ""
    item = value[column]
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, int | float):
        return str(item)
    if item is not None and not isinstance(item, str):
        found, fix = kind_of(item), "Write it as text."
        into.append(problem("non_string_content", column, found, "text or a number", fix))
        return ""
    if not item or item.isspace():
        check = "missing_content" if item is None else "empty_content"
        found = "null" if item is None else "white space" if item else "no text"
        severity = ERROR if needed else WARNING
        fix = "Fill the column, or drop the row."
        into.append(problem(check, column, found, "text", fix, severity))
    return item or ""
