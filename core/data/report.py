"""Rows as plain data, for `data show --json` and the pane."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from core.data.encode.encoder import EncodedRow, Encoding, walk_rows
from core.data.files.source import Mix, open_source
from core.data.recipe import Recipe
from core.errors import AfinaError


def load_row(
    path: str | os.PathLike[str], number: int, recipe: Recipe, mix: Mix | None = None
) -> EncodedRow:
    """One row of a file, counted from 1, encoded; raises AfinaError where there is no such row."""
    return next(load_rows(path, [number], recipe, mix))


def load_rows(
    path: str | os.PathLike[str], numbers: Sequence[int], recipe: Recipe, mix: Mix | None = None
) -> Iterator[EncodedRow]:
    """Rows of a file in the order asked for, counted from 1, encoded to be looked at.

    Raises AfinaError before the first where one of them is not there.
    """
    with open_source(path, mix) as source:
        encoder = recipe.encoder()
        for number in numbers:
            if not 1 <= number <= len(source):
                have = f"{len(source):,} row" + ("" if len(source) == 1 else "s")
                raise AfinaError(f'There is no row {number}: "{path}" has {have}.')
        wanted = [number - 1 for number in numbers]
        yield from walk_rows(source, recipe.reader(source), encoder, wanted, segments=True)


def row_fields(item: EncodedRow) -> dict[str, Any]:
    """A row as `data show --json` prints it; `pieces` are the tokens' texts, see token_pieces.

    Of a preference the fields are those of the chosen side, and `rejected` holds the same of the
    other. `template` names the chat template, null where none was used. A problem's `token` counts
    in `ids`, or in those of `rejected` if its field begins with "rejected"; it is len(ids) for what
    begins with the first token that is cut, and more for what lies behind.
    """
    encoding = item.encoding
    rejected = encoding.rejected
    return {
        "row": item.row.number,
        "line": item.row.line,
        **_side_fields(encoding),
        "problems": msgspec.to_builtins(encoding.problems),
        "rejected": None if rejected is None else _side_fields(rejected),
        "label": encoding.label,
        "template": item.template,
    }


def _side_fields(encoding: Encoding) -> dict[str, Any]:
    pieces = token_pieces(encoding)
    return {
        "text": encoding.text,
        "ids": encoding.ids,
        "supervised": encoding.supervised,
        "pieces": pieces,
        "offsets": encoding.offsets,
        "cut_at": sum(map(len, pieces)),  # characters of the text that the model sees
        "segments": encoding.segments,
        "truncated_tokens": encoding.truncated_tokens,
    }


def token_pieces(encoding: Encoding) -> list[str]:
    """The text of each token, gaps and overlaps evened out: a character stands with one token only.

    Where several tokens make one character (the bytes of an emoji), the first one has it.
    """
    pieces, done = [], 0
    for _, end in encoding.offsets:
        pieces.append(encoding.text[done:end])
        done = max(done, end)
    return pieces
