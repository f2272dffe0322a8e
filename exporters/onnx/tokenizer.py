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
    """What the library does otherwise."""
    composes = any(step["type"] == "NFC" for step in steps(tokenizer, "normalizer"))
    return (NFC_NOTE,) if composes else ()


def steps(tokenizer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The steps of "normalizer" or "decoder" of a tokenizer.json."""
    found = tokenizer.get(name)
    if not found:
        return []
    return found[f"{name}s"] if found["type"] == "Sequence" else [found]


def _decoders(strips: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if strips:
        found.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return found
