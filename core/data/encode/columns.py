"""Encoded rows in columns: what a trainer keeps of them, compact, and travels between processes."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import msgspec

from core.data.encode.encoder import EncodedRow, Encoder, Encoding, walk_rows
from core.data.files.source import Source
from core.data.problems import ERROR, RowProblem
from core.data.sample import Conversation, Label, Preference, UnpairedPreference
from core.data.shapes.read import Reader
from core.data.shapes.row_key import bytes_key, sample_key

LEARNED = 1 << 31  # the bit of a token that says that it is supervised; ids are below it
USABLE, TRUNCATED, UNSTOPPED = 1, 2, 4  # bits of the column `state`
KINDS = {  # numpy types of the columns with a number for each row
    "key": "u8",  # equal for rows that say the same
    "state": "u1",
    "length": "u4",  # tokens; of a preference those of the chosen side
    "other": "u4",  # tokens of the rejected side, which lie behind those of the chosen one
    "learned": "u4",  # supervised tokens, of both sides
    "label": "u4",  # place in `labels`, from 1; 0 is none
    "system": "u4",  # place in `systems`, from 1; 0 is no conversation
}


class Columns(msgspec.Struct):
    """Rows that follow each other. Rows that are not usable have no tokens."""

    rows: int
    numbers: dict[str, bytes]  # name -> numbers of its type in KINDS
    tokens: bytes  # u4, all rows end to end
    labels: list[Label]
    systems: list[str]  # system prompts; "" where a conversation has none
    problems: dict[int, RowProblem]  # of rows that are not usable, by place: the first error


def encode_columns(
    source: Source, reader: Reader, encoder: Encoder, rows: Sequence[int]
) -> Columns:
    """Encodes rows of a source, in the order given."""
    numbers = {name: array({"u8": "Q", "u4": "I", "u1": "B"}[kind]) for name, kind in KINDS.items()}
    tokens = bytearray()
    labels: dict[tuple[type, Label], int] = {}  # True and 1 are two labels
    systems: dict[str, int] = {}  # "" is one of them
    problems: dict[int, RowProblem] = {}
    for place, item in enumerate(walk_rows(source, reader, encoder, rows)):
        encoding, other = item.encoding, item.encoding.rejected
        usable = encoding.usable
        if usable:
            tokens += _tokens(encoding) + (_tokens(other) if other else b"")
        elif error := next((p for p in encoding.problems if p.severity == ERROR), None):
            problems[place] = error
        sides = [encoding] if other is None else [encoding, other]
        system = system_prompt(item.sample)
        row = {
            "key": _key(source, item),
            "state": _state(encoding, sides),
            "length": len(encoding.ids) if usable else 0,
            "other": len(other.ids) if usable and other else 0,
            "learned": sum(side.supervised_tokens for side in sides) if usable else 0,
            "label": 0 if encoding.label is None else _code(labels, encoding.label),
            "system": 0 if system is None else systems.setdefault(system, len(systems) + 1),
        }
        for name, value in row.items():
            numbers[name].append(value)
    return Columns(
        len(rows),
        {name: column.tobytes() for name, column in numbers.items()},
        bytes(tokens),
        [label for _, label in labels],
        list(systems),
        problems,
    )


def system_prompt(sample: object) -> str | None:
    """The system prompt of a conversation, "" without one; None for what is no conversation."""
    if isinstance(sample, Preference):
        sample = sample.chosen
    elif isinstance(sample, UnpairedPreference):
        sample = sample.answer
    if not isinstance(sample, Conversation):
        return None
    first = sample.messages[0]
    return str(first["content"]) if first["role"] in ("system", "developer") else ""


def is_unstopped(encoding: Encoding) -> bool:
    """Whether the last supervised token of a row doesn't stop a generation."""
    return any(item.check == "no_stop_token_learned" for item in encoding.problems)


def _code(codes: dict[tuple[type, Label], int], label: Label) -> int:
    return codes.setdefault((type(label), label), len(codes) + 1)


def _tokens(encoding: Encoding) -> bytes:
    import numpy

    learned = numpy.asarray(encoding.supervised, dtype="u4") * numpy.uint32(LEARNED)
    return (numpy.asarray(encoding.ids, dtype="u4") | learned).tobytes()


def _state(encoding: Encoding, sides: Sequence[Encoding]) -> int:
    truncated = any(side.truncated_tokens for side in sides)
    return USABLE * encoding.usable + TRUNCATED * truncated + UNSTOPPED * is_unstopped(encoding)


def _key(source: Source, item: EncodedRow) -> int:
    if item.sample is None:
        return bytes_key(source.raw(item.row.index))
    return sample_key(item.sample)
