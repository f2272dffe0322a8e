"""A text or a pair of texts with its class: as the tokenizer itself frames it, nothing learned."""

from __future__ import annotations

from core.data.encode.encoding import Encoding
from core.data.encode.mask_checks import cut_problem
from core.data.encode.spans import Span, TokenSpans
from core.data.encode.tokenizer import Tokenizer
from core.data.problems import NOTE, RowProblem, problem
from core.data.sample import Labelled

ROLES = ("text", "pair")


def texts_of(sample: Labelled) -> list[str]:
    return [sample.text] if sample.pair is None else [sample.text, sample.pair]


def encode_labelled(
    sample: Labelled,
    parts: list[TokenSpans],
    tokenizer: Tokenizer,
    limit: int | None,
    looked_at: bool,
) -> Encoding:
    """The tokens of one text or two between what the tokenizer's post-processor puts around them.

    The row is cut at its end. Its class stands in the label; no token is supervised.
    """
    frame = tokenizer.single if len(parts) == 1 else tokenizer.pair
    row = _Row(tokenizer, looked_at)
    row.add_ids(frame.before)
    segments = []
    for role, text, part in zip(ROLES, texts_of(sample), parts, strict=False):
        if row.ids and role == "pair":
            row.add_ids(frame.between)
        segments.append((role, len(row.text), len(row.text) + len(text)))
        row.add(text, part)
    row.add_ids(frame.after)
    total = len(row.ids)
    limit = total if limit is None else limit
    problems = [cut_problem(total, limit)] if total > limit else []
    if len(parts) == 2 and not frame.between:
        problems.append(_unseparated(len(frame.before) + len(parts[0].ids)))
    label = int(sample.label) if isinstance(sample.label, bool) else sample.label
    return Encoding(
        row.ids[:limit],
        [False] * min(total, limit),
        row.text,
        row.offsets[:limit],
        segments if looked_at else [],
        max(0, total - limit),
        problems,
        label=label,
    )


class _Row:
    """Ids that grow, with their text; offsets only for somebody who looks at them."""

    def __init__(self, tokenizer: Tokenizer, looked_at: bool) -> None:
        self._tokenizer, self._looked_at = tokenizer, looked_at
        self.ids: list[int] = []
        self.text = ""
        self.offsets: list[Span] = []

    def add_ids(self, ids: list[int]) -> None:
        for token in ids:
            word = self._tokenizer.token_text(token)
            self.offsets += [(len(self.text), len(self.text) + len(word))] * self._looked_at
            self.ids.append(token)
            self.text += word

    def add(self, text: str, tokens: TokenSpans) -> None:
        if self._looked_at:
            shift = len(self.text)
            self.offsets += [(start + shift, end + shift) for start, end in tokens.offsets]
        self.ids += tokens.ids
        self.text += text


def _unseparated(at: int) -> RowProblem:
    return problem(
        "pair_not_separated",
        "",
        "two texts with nothing between them, as the model's tokenizer joins a pair",
        "a token between the two",
        "Put a separator into one of the columns, or use a model whose tokenizer has one.",
        NOTE,
        at,
    )
