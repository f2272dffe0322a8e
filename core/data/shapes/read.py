"""How a row of a known shape becomes a sample, with every problem of its form."""

from __future__ import annotations

import msgspec

from core.data.files.source import Row
from core.data.problems import kind_of, problem
from core.data.sample import Reading
from core.data.shapes.columns import parse_prompt_template, read_columns
from core.data.shapes.content import MEDIA_KEYS, media_problem
from core.data.shapes.conversations import Value, read_conversation, wrong_shape
from core.data.shapes.detect import SHAPES, UNKNOWN, shape_of
from core.data.shapes.documents import read_labelled, read_text, read_tokens
from core.data.shapes.kto import read_judged
from core.data.shapes.plain import read_plain
from core.data.shapes.preference import read_preference
from core.data.shapes.turn_checks import conduct_problems
from core.data.shapes.turns import Turns, row_key_problems
from core.errors import AfinaError

_DOCUMENTS = {"text": read_text, "classification": read_labelled, "pretokenised": read_tokens}


class Reader(msgspec.Struct, frozen=True):
    """How the rows of one file are read: their shape, and for the shape "template" the template.

    Raises AfinaError for a template that is broken, or missing where the shape needs one.
    """

    shape: str
    prompt_template: str | None = None  # "### Question: {prompt}\n### Answer: {response}"

    def __post_init__(self) -> None:
        if self.shape == "template":
            if not self.prompt_template:
                raise AfinaError(
                    'The shape "template" needs a template, and data.prompt_template is empty.',
                    'Write it with columns in braces, such as "Question: {question}\\nAnswer: '
                    '{answer}"; the last one is what the model learns to write.',
                )
            parse_prompt_template(self.prompt_template)

    def read(self, row: Row) -> Reading:
        """The sample in a row, if it can become one, with every problem of the row's form."""
        if row.problem is not None or row.value is None:
            return Reading(None, [row.problem] if row.problem else [])
        reading = read_sample(self.shape, row.value, self.prompt_template)
        if row.warnings:
            reading.problems[:0] = row.warnings
        return reading


def read_sample(shape: str, value: Value, prompt_template: str | None = None) -> Reading:
    """The sample in a row, if it can become one, with every problem of the row's form.

    `prompt_template` is for the shape "template", of which no row can be read without it. Where the
    file's shape is unknown, each row is read as the shape that it has.
    """
    if shape not in SHAPES:
        shape = shape_of(value)
    if shape == UNKNOWN:
        return Reading(None, [wrong_shape("a row of a known shape", value)])
    if shape == "template":
        if prompt_template is None:
            fix = "Set data.prompt_template."
            return Reading(
                None, [problem("missing_template", "", "no template", "a template", fix)]
            )
        return read_columns(value, parse_prompt_template(prompt_template))
    if (plain := read_plain(shape, value)) is not None:
        return Reading(plain, [])
    into = Turns()
    if isinstance(value, dict):
        for key in MEDIA_KEYS:
            if value.get(key):
                into.fatal.append(media_problem(key, kind_of(value[key])))
    if shape in _DOCUMENTS:
        reading = _DOCUMENTS[shape](value)
        return Reading(None, into.fatal + reading.problems) if into.fatal else reading
    if shape == "preference":
        return read_preference(value, into)
    if shape == "kto":
        return read_judged(value, into)
    if shape == "chat" and isinstance(value, dict) and "messages" in value:
        into.problems.extend(row_key_problems(value))
    sample = read_conversation(shape, value, into)
    if sample is None:
        return Reading(None, into.fatal + into.problems)
    return Reading(sample, into.problems + conduct_problems(sample, into.places))
