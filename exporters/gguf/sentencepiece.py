"""A SentencePiece-like BPE with byte fallback, as tokenizer.json has it, in llama.cpp's words.

llama.cpp joins the pair whose joined token has the highest score, transformers the pair that was
merged first: the negated rank of a token's first merge makes both the same order.
"""

from __future__ import annotations

from typing import Any

from exporters.gguf.byte_level import steps_of
from exporters.gguf.converter import Refused

SPACE = "▁"
# where a space is put in front of what is read
NEVER, ALWAYS = "never", "always"  # ALWAYS: of a text, and of what follows a special token
FIRST = "first"  # of a text that begins with an ordinary token, and nowhere else
KNOWN = 'Known: spaces written as "▁", with or without one in front of a text.'


def is_sentencepiece(tokenizer: dict[str, Any]) -> bool:
    model = tokenizer.get("model") or {}
    return model.get("type") == "BPE" and bool(model.get("byte_fallback"))


def spaces(tokenizer: dict[str, Any]) -> str:
    """Where it puts a space in front: NEVER, ALWAYS or FIRST.

    Raises Refused for a tokenizer that changes text in a way that llama.cpp doesn't.
    """
    place, replaced = NEVER, False
    for step in steps_of(tokenizer.get("normalizer"), "normalizers"):
        if step["type"] == "Prepend" and step.get("prepend") == SPACE:
            place = ALWAYS
        elif step["type"] == "Replace" and _replaces_spaces(step):
            replaced = True
        else:
            raise Refused(f'Its tokenizer rewrites text first ("{step["type"]}").', KNOWN)
    for step in steps_of(tokenizer.get("pre_tokenizer"), "pretokenizers"):
        if step["type"] == "Metaspace" and step.get("replacement") == SPACE:
            if step.get("split", True) and _joins_words(tokenizer["model"]):
                raise Refused(
                    "Its tokenizer cuts text at spaces, and has tokens with a space inside, which "
                    "llama.cpp would make.",
                    KNOWN,
                )
            older = ALWAYS if step.get("add_prefix_space", True) else NEVER
            scheme = step.get("prepend_scheme", older)
            place, replaced = scheme if place == NEVER else place, True
        elif not (step["type"] == "Split" and replaced and _splits_at_space(step)):
            raise Refused(f'Its tokenizer splits text first ("{step["type"]}").', KNOWN)
    if not replaced:
        raise Refused("Its tokenizer leaves spaces as they are.", KNOWN)
    return place


def keeps_first_space(tokenizer: dict[str, Any]) -> bool:
    """Whether no space is put in front of what begins with one; llama.cpp puts it there too."""
    steps = steps_of(tokenizer.get("pre_tokenizer"), "pretokenizers")
    return spaces(tokenizer) == ALWAYS and any(step["type"] == "Metaspace" for step in steps)


def scores(model: dict[str, Any], tokens: list[str]) -> list[float]:
    """A score for each token: minus the rank of the first merge that makes it.

    What no merge makes gets a score below all of them; llama.cpp joins it last, if ever.
    """
    merges = model.get("merges") or []
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(merges):
        joined = merge.replace(" ", "", 1) if isinstance(merge, str) else "".join(merge)
        ranks.setdefault(joined, rank)
    return [-float(ranks.get(token, len(merges))) for token in tokens]


def _joins_words(model: dict[str, Any]) -> bool:
    """Whether some merge makes a token that a cut at spaces rules out."""
    for merge in model.get("merges") or []:
        joined = merge.replace(" ", "", 1) if isinstance(merge, str) else "".join(merge)
        if SPACE in joined[1:]:
            return True
    return False


def _replaces_spaces(step: dict[str, Any]) -> bool:
    return (step.get("pattern") or {}).get("String") == " " and step.get("content") == SPACE


def _splits_at_space(step: dict[str, Any]) -> bool:
    """Gemma's: it finds nothing, since the spaces are replaced by then."""
    return (step.get("pattern") or {}).get("String") == " " and not step.get("invert")
