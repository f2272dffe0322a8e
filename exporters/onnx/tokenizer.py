"""Tokenizer files as onnxruntime-genai reads them, so that it finds the tokens of training.

It goes by tokenizer_class more than by tokenizer.json, refuses classes that it doesn't know, and
takes a decoder that strips a space for a tokenizer that puts one before a text. Seen in 0.18: with
"GemmaTokenizer" it joins tokens across spaces, as a tokenizer without a pre-tokenizer must; with
"PreTrainedTokenizerFast" it splits by the expression in tokenizer.json.
"""

from __future__ import annotations

from typing import Any

SPACE = "▁"
NFC_NOTE = (
    "The tokenizer composes letters and accents (NFC) first, and onnxruntime-genai doesn't: text "
    "that isn't composed yet has other tokens in programs that let it read text."
)
DIGITS_NOTE = (
    "The tokenizer takes signs such as ½ and Ⅷ for digits, and onnxruntime-genai doesn't: text "
    "with them has other tokens in programs that let it read text."
)
FIRST_NOTE = (
    "The tokenizer puts a space before the first word of a text and before no other part, which "
    "onnxruntime-genai can't: programs that let it read text get other tokens."
)


def for_genai(tokenizer: dict[str, Any], settings: dict[str, Any]) -> None:
    """Changes the contents of tokenizer.json and tokenizer_config.json where it needs it."""
    model = tokenizer.get("model") or {}
    if model.get("type") != "BPE":
        return
    if not model.get("byte_fallback"):
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
        return
    settings["tokenizer_class"] = "GemmaTokenizer"
    if not any(step["type"] == "Replace" for step in steps(tokenizer, "decoder")):
        strips = any(step["type"] == "Prepend" for step in steps(tokenizer, "normalizer"))
        tokenizer["decoder"] = {"type": "Sequence", "decoders": _decoders(strips)}


def notes_on(tokenizer: dict[str, Any]) -> tuple[str, ...]:
    """What the library does otherwise, as far as the files tell."""
    before = steps(tokenizer, "pre_tokenizer")
    notes = []
    if any(step["type"] == "NFC" for step in steps(tokenizer, "normalizer")):
        notes.append(NFC_NOTE)
    if any(step["type"] == "Digits" for step in before):
        notes.append(DIGITS_NOTE)
    if any(step.get("prepend_scheme") == "first" for step in before):
        notes.append(FIRST_NOTE)
    return tuple(notes)


def steps(tokenizer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The steps of "normalizer", "pre_tokenizer" or "decoder" of a tokenizer.json."""
    found = tokenizer.get(name)
    if not found:
        return []
    return found[f"{name.replace('_', '')}s"] if found["type"] == "Sequence" else [found]


def _decoders(strips: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if strips:
        found.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return found
