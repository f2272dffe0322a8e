"""A tokenizer.json in GGUF's words: tokens with their kinds, merges, and how text is split.

The kind of tokenizer is told by its structure, never by a name or a hash (byte_level.py,
sentencepiece.py). Not here: the chat template (template.py).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from core.data.encode.tokenizer import special_tokens, tokenizer_values
from core.errors import AfinaError
from exporters.gguf.byte_level import split_name, steps_of
from exporters.gguf.converter import Refused
from exporters.gguf.sentencepiece import (
    ALWAYS,
    NEVER,
    is_sentencepiece,
    keeps_first_space,
    scores,
    spaces,
)

# llama.cpp's token kinds (include/llama.h, llama_token_type)
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
# what llama.cpp's Phi 3 must have, and which of it lets the space behind it stand
PHI3_ALL = {"<unk>", "<s>", "</s>", "<|endoftext|>"}
PHI3_KEEPING = {"<unk>", "<s>", "<|endoftext|>"}
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


class Vocabulary(msgspec.Struct, frozen=True):
    """What goes into the file under tokenizer.ggml.*"""

    model: str  # llama.cpp's name of the algorithm: "gpt2" (byte-level) or "llama"
    pre: str  # llama.cpp's name of the way text is split
    tokens: list[str]  # as the tokenizer writes them, by id; padded to the model's rows
    kinds: list[int]
    merges: list[str]  # "left right", by rank; byte-level only
    scores: list[float]  # by id; "llama" only
    spaces: str  # where a space is put in front: sentencepiece.NEVER, ALWAYS or FIRST
    unknown: int | None
    bos: int | None
    eos: int | None
    pad: int | None
    adds_bos: bool  # whether the tokenizer puts bos in front of a text by itself
    strips: bool = False  # whether its special tokens swallow the space behind them, as Phi 3's
    notes: tuple[str, ...] = ()

    @property
    def adds_space(self) -> bool:
        """Whether llama.cpp puts a space in front of each part between special tokens."""
        return self.spaces == ALWAYS

    @property
    def special(self) -> list[str]:
        """The tokens that are read as one wherever they stand."""
        marked = zip(self.tokens, self.kinds, strict=True)
        return [token for token, kind in marked if kind in (CONTROL, USER_DEFINED)]


def read_vocabulary(folder: Path, rows: int) -> Vocabulary:
    """The vocabulary of a model folder, padded to `rows` tokens, the rows of its embedding.

    Raises AfinaError, with what is known, for a tokenizer of another kind.
    """
    tokenizer = tokenizer_values(folder)
    model = tokenizer.get("model") or {}
    spm, pre, place = _structure(tokenizer)
    tokens, kinds = _tokens(model["vocab"], tokenizer.get("added_tokens") or [], rows)
    ids = {token: place for place, token in enumerate(tokens)}
    special = special_tokens(folder)
    bos = ids.get(special.get("bos_token", ""))
    unknown = ids.get(model.get("unk_token") or "")
    if spm:
        kinds = _fallback_kinds(tokens, kinds, unknown)
    strips = _strips(tokenizer.get("added_tokens") or [], tokens, kinds)
    merges = [] if spm else model.get("merges") or []
    return Vocabulary(
        model="llama" if spm else "gpt2",
        pre=pre,
        tokens=tokens,
        kinds=kinds,
        merges=[merge if isinstance(merge, str) else " ".join(merge) for merge in merges],
        scores=scores(model, tokens) if spm else [],
        spaces=place,
        unknown=unknown,
        bos=bos,
        eos=ids.get(special.get("eos_token", "")),
        pad=ids.get(special.get("pad_token", "")),
        adds_bos=bos is not None and _starts_with(tokenizer.get("post_processor"), tokens[bos]),
        strips=strips,
        notes=_notes(tokenizer, strips),
    )


def check_tokenizer(folder: Path) -> None:
    """Raises Refused for a tokenizer whose kind is not known, without a look at the model."""
    _structure(tokenizer_values(folder))


def _structure(tokenizer: dict[str, Any]) -> tuple[bool, str, str]:
    """Whether it is SentencePiece, llama.cpp's name for its splits, and where it puts spaces."""
    if is_sentencepiece(tokenizer):
        return True, "default", spaces(tokenizer)
    return False, split_name(tokenizer), NEVER


def _tokens(
    vocabulary: dict[str, int], added: list[dict[str, Any]], rows: int
) -> tuple[list[str], list[int]]:
    """Tokens and kinds by id; ids that nothing names become unused ones."""
    highest = max([*vocabulary.values(), *(token["id"] for token in added)], default=-1)
    if highest >= rows:
        raise AfinaError(
            f"The tokenizer has ids up to {highest:,}, and the model has rows for {rows:,} tokens.",
            "Name the folder whose tokenizer belongs to this model.",
        )
    tokens = [f"[PAD{place}]" for place in range(rows)]
    kinds = [UNUSED] * rows
    for token, place in vocabulary.items():
        tokens[place], kinds[place] = token, NORMAL
    for token in added:
        tokens[token["id"]] = token["content"]
        kinds[token["id"]] = CONTROL if token.get("special") else USER_DEFINED
    if broken := next((place for place, token in enumerate(tokens) if "\0" in token), None):
        raise Refused(
            f"Its token {broken} holds the character NUL, at which llama.cpp ends a token.",
            "Known: tokens without it.",
        )
    return tokens, kinds


def _fallback_kinds(tokens: list[str], kinds: list[int], unknown: int | None) -> list[int]:
    """The kinds with the tokens that stand for single bytes. Raises AfinaError if some are not."""
    found = [
        BYTE if kind != UNUSED and _BYTE.fullmatch(token) else kind
        for token, kind in zip(tokens, kinds, strict=True)
    ]
    if found.count(BYTE) != 256:
        raise AfinaError(
            f"Its tokenizer has {found.count(BYTE)} of the 256 byte tokens.",
            "llama.cpp needs all of them.",
        )
    if unknown is not None:
        found[unknown] = UNKNOWN
    return found


def _starts_with(processor: dict[str, Any] | None, token: str) -> bool:
    """Whether a post-processor puts this token in front of every text."""
    if processor is None:
        return False
    if processor.get("type") == "Sequence":
        return any(_starts_with(step, token) for step in processor.get("processors") or [])
    first = next(iter(processor.get("single") or []), {})
    return (first.get("SpecialToken") or {}).get("id") == token


def _strips(added: list[dict[str, Any]], tokens: list[str], kinds: list[int]) -> bool:
    """Whether just those tokens swallow the space behind them that do in llama.cpp's Phi 3.

    Source: src/llama-vocab.cpp, per token attributes, by a general.name with "phi-3" in it.
    """
    found = {token["content"] for token in added if token.get("rstrip")}
    special = (CONTROL, USER_DEFINED, UNKNOWN)
    marked = {token for token, kind in zip(tokens, kinds, strict=True) if kind in special}
    return set(tokens) >= PHI3_ALL and found == (marked | {"</s>"}) - PHI3_KEEPING


def _notes(tokenizer: dict[str, Any], strips: bool) -> tuple[str, ...]:
    notes = []
    normalizers = steps_of(tokenizer.get("normalizer"), "normalizers")
    if any(step["type"] == "NFC" for step in normalizers):
        notes.append(
            "The tokenizer composes letters and accents (NFC) first, and llama.cpp doesn't: text "
            "with separate accents gives other tokens there."
        )
    if is_sentencepiece(tokenizer) and keeps_first_space(tokenizer):
        notes.append(
            "The tokenizer puts a space in front of a text unless one is there, and llama.cpp "
            "always does: what begins with a space, or has one behind a special token, has other "
            "tokens."
        )
    sides = {"lstrip": "before", "rstrip": "behind"}
    for flag, side in sides.items():
        loose = [t["content"] for t in tokenizer.get("added_tokens") or [] if t.get(flag)]
        if loose and not (flag == "rstrip" and strips):
            notes.append(
                f'The token "{loose[0]}" swallows the space {side} it, and llama.cpp doesn\'t do '
                "that."
            )
    return tuple(notes)
