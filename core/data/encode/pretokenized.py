"""Rows that come as token ids: taken as they are, with the text that they spell for looking at."""

from __future__ import annotations

from core.data.encode.encoding import IGNORED, Encoding
from core.data.encode.mask_checks import learning_problems
from core.data.encode.spans import Span
from core.data.encode.tokenizer import Tokenizer
from core.data.problems import RowProblem, problem
from core.data.sample import Tokens

UNKNOWN = "\ufffd"  # stands for an id that the vocabulary doesn't have
_CHARACTER_BYTES = 4  # at most, in UTF-8


def encode_given(
    sample: Tokens, tokenizer: Tokenizer, limit: int | None, looked_at: bool
) -> Encoding:
    """The ids of a row, cut at `limit`; labels of -100 are not learned, None learns every id.

    An id that is not in the vocabulary leaves nothing to learn from: the model could not be given
    such a row.
    """
    ids, labels = sample.ids, sample.labels
    problems = _bad_ids(ids, tokenizer.vocab_size)
    if looked_at:
        text, offsets = _spell(ids, tokenizer)
    else:
        text, offsets = "" if problems else tokenizer.decode(ids), []
    supervised = [label != IGNORED for label in (ids if labels is None else labels)]
    total = len(ids)
    cut = total if limit is None else limit
    if problems:
        supervised = [False] * total
    else:
        problems += learning_problems(ids, supervised, cut, tokenizer)
    segments = [("text", 0, len(text))]
    lost = max(0, total - cut)
    return Encoding(ids[:cut], supervised[:cut], text, offsets[:cut], segments, lost, problems)


def _bad_ids(ids: list[int], size: int) -> list[RowProblem]:
    """The first id that is outside the vocabulary."""
    if min(ids, default=0) >= 0 and max(ids, default=0) < size:
        return []
    at = next(index for index, token in enumerate(ids) if not 0 <= token < size)
    found = f"the id {ids[at]}"
    expected = f"ids from 0 to {size - 1}, the tokenizer's vocabulary"
    fix = "Tokenize the text with this model's tokenizer, or choose the model that it was made for."
    return [problem("id_out_of_vocabulary", f"input_ids[{at}]", found, expected, fix, token=at)]


def _spell(ids: list[int], tokenizer: Tokenizer) -> tuple[str, list[Span]]:
    """The text of ids, and the characters of each; tokens of one character share its place."""
    parts: list[str] = []
    offsets: list[Span] = []
    at, before, waiting = 0, [], []
    for place, token in enumerate(ids):
        waiting.append(token)
        known = 0 <= token < tokenizer.vocab_size
        # decoded behind the tokens before it: some vocabularies drop the space that begins a text
        said = len(tokenizer.decode(before)) if known else 0
        piece = tokenizer.decode(before + waiting)[said:] if known else UNKNOWN
        goes_on = place + 1 < len(ids) and 0 <= ids[place + 1] < tokenizer.vocab_size
        if known and goes_on and piece.endswith(UNKNOWN) and len(waiting) < _CHARACTER_BYTES:
            continue
        offsets += [(at, at + len(piece))] * len(waiting)
        parts.append(piece)
        at += len(piece)
        before, waiting = (waiting if known else []), []
    return "".join(parts), offsets
