"""How a byte-level BPE splits text, in llama.cpp's names, told by its structure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from core.errors import AfinaError

_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3_SPLIT = _WORDS + r"\p{N}{1,3}" + _REST
QWEN2_SPLIT = _WORDS + r"\p{N}" + _REST
# (expression, ignore_merges): llama.cpp's name for the way text is split (src/llama-vocab.cpp)
SPLITS = {
    (LLAMA3_SPLIT, True): "llama-bpe",
    (LLAMA3_SPLIT, False): "dbrx",
    (QWEN2_SPLIT, False): "qwen2",
}
KNOWN = (
    "Known: byte-level BPE that splits as GPT-2, Llama 3, Qwen 2 or SmolLM do, and SentencePiece "
    "BPE with byte fallback."
)


def split_name(tokenizer: dict[str, Any]) -> str:
    """llama.cpp's name for the way a tokenizer.json splits text. Raises AfinaError for others."""
    model = tokenizer.get("model") or {}
    if model.get("type") != "BPE":
        raise AfinaError(f"Its tokenizer is {model.get('type')}.", KNOWN)
    if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        raise AfinaError("Its tokenizer marks the parts of words.", KNOWN)
    normalizer = (tokenizer.get("normalizer") or {}).get("type")
    if normalizer not in (None, "NFC"):
        raise AfinaError(f'Its tokenizer rewrites text first ("{normalizer}").', KNOWN)
    steps = list(_steps(tokenizer.get("pre_tokenizer")))
    if not steps or steps[-1]["type"] != "ByteLevel" or steps[-1].get("add_prefix_space"):
        raise AfinaError("Its tokenizer is not byte-level.", KNOWN)
    name = _name(steps, bool(model.get("ignore_merges")))
    if name is None:
        found = ", ".join(_describe(step) for step in steps)
        raise AfinaError(f"Its tokenizer splits text in a way that is not known: {found}.", KNOWN)
    return name


def _name(steps: list[dict[str, Any]], ignore_merges: bool) -> str | None:
    *before, last = steps
    if last.get("use_regex", True):  # GPT-2's own expression is built into ByteLevel
        if not before and not ignore_merges:
            return "gpt-2"
        digits = len(before) == 1 and before[0]["type"] == "Digits"
        single = digits and before[0].get("individual_digits")
        return "smollm" if single and not ignore_merges else None
    if len(before) != 1 or before[0]["type"] != "Split" or before[0].get("invert"):
        return None
    expression = (before[0].get("pattern") or {}).get("Regex", "")
    if before[0].get("behavior") != "Isolated":
        return None
    return SPLITS.get((expression, ignore_merges))


def _steps(pre_tokenizer: dict[str, Any] | None) -> Iterable[dict[str, Any]]:
    if pre_tokenizer is None:
        return []
    if pre_tokenizer.get("type") == "Sequence":
        return pre_tokenizer.get("pretokenizers") or []
    return [pre_tokenizer]


def _describe(step: dict[str, Any]) -> str:
    pattern = (step.get("pattern") or {}).get("Regex")
    return f"{step['type']} {pattern}" if pattern else step["type"]
