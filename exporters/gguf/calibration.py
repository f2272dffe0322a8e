"""The texts that the importance of columns is collected on, as token ids.

Training rows as training renders them, drawn over the whole file; or a text file in windows, as
llama.cpp's imatrix program cuts one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from core.data.encode.tokenizer import Tokenizer
from core.errors import AfinaError
from core.runs.run import Run

if TYPE_CHECKING:
    from core.data.encode.encoder import Encoder
    from core.data.files.source import Source
    from core.data.shapes.read import Reader
    from exporters.gguf.importance_order import Order

WINDOW = 512  # tokens of a window of a text file
LONGEST = 4096  # tokens of a row; attention over more takes memory and tells little more
PIECE_BYTES = 16_384  # of a text file, read at places spread over it
BYTES_PER_TOKEN = 8  # more than a token has, so that pieces suffice
SEED = 1

Ids = list[int]


@contextmanager
def texts_for(order: Order) -> Iterator[tuple[str, Iterator[Ids]]]:
    """What the texts are, and the texts. Raises AfinaError where there are none."""
    if order.text:
        path = Path(order.text).expanduser()
        yield f'the file "{path.name}"', windows(path, order)
        return
    assert order.target.run is not None
    run = Run(order.target.run)
    try:
        with _training_rows(run, order) as rows:
            yield "rows of its training data", rows
    except AfinaError as error:
        hint = f"{error.hint} Or give a text: --imatrix FILE.".strip()
        raise AfinaError(error.message, hint) from error


@contextmanager
def _training_rows(run: Run, order: Order) -> Iterator[Iterator[Ids]]:
    from core.data.recipe import Recipe
    from core.plan.layout import open_rows
    from core.train.loader.dataset import held_out_rows

    config = run.config
    recipe = msgspec.structs.replace(Recipe.of(config), model=order.folder, revision=None)
    with open_rows(config) as source:
        reader = recipe.reader(source)
        held_out: Sequence[int] = ()
        if config.data.eval_path is None and config.data.eval_fraction > 0:
            held_out = held_out_rows(config, source, reader)
        yield _encoded(source, reader, recipe.encoder(), frozenset(held_out))


def _encoded(
    source: Source, reader: Reader, encoder: Encoder, held_out: frozenset[int]
) -> Iterator[Ids]:
    """Rows in an order of their own, those that can be learned from."""
    from core.data.encode.encoder import encode_rows

    for encoding in encode_rows(source, reader, encoder, _shuffled(len(source), held_out)):
        if encoding.ids:
            yield encoding.ids[:LONGEST]


def _shuffled(count: int, left_out: frozenset[int]) -> Iterator[int]:
    """Numbers below `count` in an order that is always the same, without a list of all of them."""
    drawn: set[int] = set()
    numbers = random.Random(SEED)
    while len(drawn) < count // 2:
        number = numbers.randrange(count)
        if number not in drawn:
            drawn.add(number)
            if number not in left_out:
                yield number
    drawn |= left_out
    yield from (number for number in range(count) if number not in drawn)


def windows(path: Path, order: Order) -> Iterator[Ids]:
    """Windows of a text file, from places spread over it."""
    tokenizer = Tokenizer.load(order.folder)
    head = [] if order.bos is None else [order.bos]
    size, found = _size(path), False
    count = min(-(-size // PIECE_BYTES), -(-order.tokens * BYTES_PER_TOKEN // PIECE_BYTES))
    for place in range(count):
        with open(path, "rb") as file:
            file.seek(place * size // count)
            text = file.read(PIECE_BYTES).decode("utf-8", "ignore")
        ids = list(tokenizer.encode(text).ids)
        for start in range(0, len(ids), WINDOW):
            found = True
            yield head + ids[start : start + WINDOW]
    if not found:
        raise AfinaError(f'There is no text in "{path}".', "Name a file with some pages of text.")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise AfinaError(f'Can\'t read "{path}": {error.strerror}.', "Check the path.") from error
