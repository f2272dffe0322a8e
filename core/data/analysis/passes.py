"""The two passes over rows, for some rows at a time: their form first, then their tokens."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence

from core.data.analysis.language import language_of, script_code
from core.data.analysis.row_facts import Names, Shard
from core.data.encode.encoder import EncodedRow, Encoder, Encoding, walk_rows
from core.data.files.source import Source
from core.data.problems import RowProblem
from core.data.sample import Label
from core.data.shapes.read import Reader
from core.data.shapes.row_key import bytes_key, sample_key
from core.data.shapes.sample_text import conversation_of, label_of, texts_of, turns_of

_HEAD, _HEADS = 100, 6  # characters of each part, and parts, that tell a row's script
_MOST_FOUND = (1 << 16) - 1  # problems of one row that the column `found` can count


def examine_form(source: Source, reader: Reader, rows: range) -> Shard:
    """What can be said of rows without a tokenizer."""
    size, line, key = array("I"), array("I"), array("Q")
    turns, found, label = array("H"), array("H"), array("I")
    readable, script = array("B"), array("B")
    problems: list[RowProblem] = []
    labels: Names = Names()
    spoken: Counter[tuple[str, ...]] = Counter()  # the roles of a row, one after another
    for row in source.rows(rows.start, rows.stop):
        reading = reader.read(row)
        sample = reading.sample
        line.append(row.line)
        readable.append(sample is not None)
        turns.append(min(turns_of(sample), _MOST_FOUND))
        if reading.problems:
            problems += [item.at(row.number, row.line) for item in reading.problems]
        found.append(min(len(reading.problems), _MOST_FOUND))
        named: Label | None = None
        if sample is None:
            key.append(bytes_key(source.raw(row.index)))
            script.append(0)
        else:
            key.append(sample_key(sample))
            said = texts_of(sample)
            script.append(script_code(_first_letters(said)))
            named = label_of(sample)
            spoken[tuple([role for role, _ in said])] += 1
        label.append(0 if named is None else labels.code(named))
    for block in source.blocks(rows.start, rows.stop):
        ends = [*block.starts[1:], block.end]
        size.extend(end - start for start, end in zip(block.starts, ends, strict=True))
    columns = {
        **{"bytes": size, "line": line, "key": key, "turns": turns, "found": found},
        **{"label": label, "readable": readable, "script": script},
    }
    return Shard(
        rows.start,
        len(rows),
        {name: column.tobytes() for name, column in columns.items()},
        problems,
        labels=labels.words[1:],
        roles=_roles(spoken),
    )


def _roles(spoken: Counter[tuple[str, ...]]) -> dict[str, int]:
    roles: Counter[str] = Counter()
    for turns, rows in spoken.items():
        for role in turns:
            roles[role] += rows
    return dict(roles)


def _first_letters(said: list[tuple[str, str]]) -> str:
    """The beginning of each part of a row, together."""
    return " ".join([text[:_HEAD] for _, text in said[:_HEADS]])


def examine_tokens(
    source: Source,
    reader: Reader,
    encoder: Encoder,
    rows: range,
    found: Sequence[int],
    languages: bool,
) -> Shard:
    """What the tokenizer adds; `found` has the problems of form of each row, which come first."""
    tokens, kept, supervised, truncated = array("I"), array("I"), array("I"), array("I")
    language = array("B")
    names = Names()
    problems: list[RowProblem] = []
    for item, known in zip(walk_rows(source, reader, encoder, rows), found, strict=True):
        sides = sides_of(item.encoding)
        tokens.append(whole_length(item.encoding))
        kept.append(sum(len(side.ids) for side in sides))
        supervised.append(sum(side.supervised_tokens for side in sides))
        truncated.append(sum(side.truncated_tokens for side in sides))
        problems += item.encoding.problems[known:]
        language.append(names.code(_language(item)) if languages and item.sample else 0)
    columns = {"tokens": tokens, "kept": kept, "supervised": supervised, "truncated": truncated}
    return Shard(
        rows.start,
        len(rows),
        {name: column.tobytes() for name, column in {**columns, "language": language}.items()},
        problems,
        languages=names.words[1:],
    )


def whole_length(encoding: Encoding) -> int:
    """Tokens of a row before the cut at max_length; of a pair, those of the longer side."""
    return max(len(side.ids) + side.truncated_tokens for side in sides_of(encoding))


def sides_of(encoding: Encoding) -> list[Encoding]:
    """The encodings that go through the model for a row: two of a preference, else one."""
    return [encoding] if encoding.rejected is None else [encoding, encoding.rejected]


def _language(item: EncodedRow) -> str:
    """The language of what the row teaches: its last turn, or its text."""
    turns = conversation_of(item.sample)
    said = texts_of(item.sample)
    if not said:
        return ""
    return language_of(said[len(turns.messages) - 1][1] if turns else said[0][1])
