"""A SentencePiece-like BPE with byte fallback, as tokenizer.json has it, in llama.cpp's words.

llama.cpp joins the pair whose joined token has the highest score, transformers the pair that was
merged first: the negated rank of a token's first merge makes both the same order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from core.errors import AfinaError

SPACE = "▁"
KNOWN = 'Known: spaces written as "▁", with or without one in front of every part of a text.'


def is_sentencepiece(tokenizer: dict[str, Any]) -> bool:
    model = tokenizer.get("model") or {}
    return model.get("type") == "BPE" and bool(model.get("byte_fallback"))


def adds_space(tokenizer: dict[str, Any]) -> bool:
    """Whether a space is put in front of a text, and of what follows a special token.

    Raises AfinaError for a tokenizer that changes text in a way that llama.cpp doesn't.
    """
    prefix, replaced = False, False
    for step in _flat(tokenizer.get("normalizer"), "normalizers"):
        if step["type"] == "Prepend" and step.get("prepend") == SPACE:
            prefix = True
        elif step["type"] == "Replace" and _replaces_spaces(step):
            replaced = True
        else:
            raise AfinaError(f'Its tokenizer rewrites text first ("{step["type"]}").', KNOWN)
    for step in _flat(tokenizer.get("pre_tokenizer"), "pretokenizers"):
        if step["type"] == "Metaspace" and step.get("replacement") == SPACE:
            scheme = step.get("prepend_scheme", "always")
            if scheme == "first" or step.get("split"):
                raise AfinaError(
                    "Its tokenizer puts a space in front of a text only, not of what follows a "
                    "special token, or cuts text at spaces.",
                    KNOWN,
                )
            prefix, replaced = prefix or scheme == "always", True
        elif not (step["type"] == "Split" and replaced and _splits_at_space(step)):
            raise AfinaError(f'Its tokenizer splits text first ("{step["type"]}").', KNOWN)
    if not replaced:
        raise AfinaError("Its tokenizer leaves spaces as they are.", KNOWN)
    return prefix


def scores(model: dict[str, Any], tokens: list[str]) -> list[float]:
    """A score for each token: minus the rank of the first merge that makes it.

    What no merge makes gets a score below all of them; llama.cpp never joins such a token.
    """
    merges = model.get("merges") or []
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(merges):
        joined = merge.replace(" ", "", 1) if isinstance(merge, str) else "".join(merge)
        ranks.setdefault(joined, rank)
    return [-float(ranks.get(token, len(merges))) for token in tokens]


def _flat(step: dict[str, Any] | None, parts: str) -> Iterable[dict[str, Any]]:
    if step is None:
        return []
    return step.get(parts) or [] if step.get("type") == "Sequence" else [step]


def _replaces_spaces(step: dict[str, Any]) -> bool:
    return (step.get("pattern") or {}).get("String") == " " and step.get("content") == SPACE


def _splits_at_space(step: dict[str, Any]) -> bool:
    """Gemma's: it finds nothing, since the spaces are replaced by then."""
    return (step.get("pattern") or {}).get("String") == " " and not step.get("invert")
