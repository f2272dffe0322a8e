"""How a byte-level BPE splits text, in llama.cpp's names, told by its structure.

Only what llama.cpp splits in just the same way is here; each is tried on hostile texts in a test.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from exporters.gguf.converter import Refused

_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3_SPLIT = rf"{_SHORT}|{_WORDS}|\p{{N}}{{1,3}}{_REST}"
QWEN2_SPLIT = rf"{_SHORT}|{_WORDS}|\p{{N}}{_REST}"
QWEN35_SPLIT = (
    _SHORT + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SEED_SPLIT = (
    _SHORT + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}"
    r"| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK3_SPLITS = (
    r"\p{N}{1,3}",
    r"[一-龥぀-ゟ゠-ヿ]+",
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
)
# (expressions, one after the other; ignore_merges): llama.cpp's name (src/llama-vocab.cpp)
SPLITS = {
    ((GPT2_SPLIT,), False): "gpt-2",
    ((LLAMA3_SPLIT,), True): "llama-bpe",
    ((LLAMA3_SPLIT,), False): "dbrx",
    ((QWEN2_SPLIT,), False): "qwen2",
    ((QWEN35_SPLIT,), False): "qwen35",
    ((SEED_SPLIT,), False): "seed-coder",
    (DEEPSEEK3_SPLITS, False): "deepseek-v3",
}
# Ways to write the same split: what is possessive here can't match more by giving back, and \s*
# before one line's end reaches to the last one by itself.
_SPELLINGS = (
    (r"'(?i:[sdmt]|ll|ve|re)", _SHORT),
    (r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])", _SHORT),
    (r"[^\r\n\p{L}\p{N}]?+\p{L}+", _WORDS),
    (r"| ?[^\s\p{L}\p{N}]++[\r\n]*|", r"| ?[^\s\p{L}\p{N}]+[\r\n]*|"),
    (r"|\s*[\r\n]|", r"|\s*[\r\n]+|"),
)
KNOWN = (
    "Known: byte-level BPE that splits as GPT-2, Llama 3, Qwen 2, Qwen 3.5, DeepSeek 3, SmolLM or "
    "StarCoder do, and SentencePiece BPE with byte fallback."
)


def split_name(tokenizer: dict[str, Any]) -> str:
    """llama.cpp's name for the way a tokenizer.json splits text. Raises Refused for others."""
    model = tokenizer.get("model") or {}
    if model.get("type") != "BPE":
        raise Refused(f"Its tokenizer is {model.get('type')}, not BPE.", KNOWN)
    if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        raise Refused("Its tokenizer marks the parts of words.", KNOWN)
    for step in steps_of(tokenizer.get("normalizer"), "normalizers"):
        if step["type"] != "NFC":
            raise Refused(f'Its tokenizer rewrites text first ("{step["type"]}").', KNOWN)
    steps = list(steps_of(tokenizer.get("pre_tokenizer"), "pretokenizers"))
    if not steps or steps[-1]["type"] != "ByteLevel" or steps[-1].get("add_prefix_space"):
        raise Refused("Its tokenizer is not byte-level.", KNOWN)
    name = _name(steps, bool(model.get("ignore_merges")))
    if name is None:
        found = ", ".join(_describe(step) for step in steps)
        if r"\p{Lu}" in found:
            raise Refused(
                "Its tokenizer splits words at capitals, as those of GPT-4o and Tekken do, and "
                "llama.cpp finds them in ASCII only: words with accents, and scripts with marks, "
                "would have other tokens.",
                KNOWN,
            )
        raise Refused(f"Its tokenizer splits text in a way that is not known: {found}.", KNOWN)
    return name


def steps_of(step: dict[str, Any] | None, parts: str) -> Iterable[dict[str, Any]]:
    """The steps of a normalizer or a pre-tokenizer, whether it is a sequence or a single one."""
    if step is None:
        return []
    return step.get(parts) or [] if step.get("type") == "Sequence" else [step]


def _name(steps: list[dict[str, Any]], ignore_merges: bool) -> str | None:
    *before, last = steps
    if last.get("use_regex", True):  # GPT-2's own expression is built into ByteLevel
        if not before and not ignore_merges:
            return "gpt-2"
        digits = len(before) == 1 and before[0]["type"] == "Digits"
        single = digits and before[0].get("individual_digits")
        return "smollm" if single and not ignore_merges else None
    expressions = tuple(_expression(step, len(before) == 1) for step in before)
    return SPLITS.get((expressions, ignore_merges))


def _expression(step: dict[str, Any], alone: bool) -> str:
    """The expression whose matches become parts of their own; empty for another way to split."""
    if step["type"] != "Split":
        return ""
    kept = (step.get("behavior"), bool(step.get("invert")))
    # dropping what is not matched is the same where every character is, as in those that are alone
    if kept != ("Isolated", False) and not (alone and kept == ("Removed", True)):
        return ""
    expression = (step.get("pattern") or {}).get("Regex", "")
    for spelling, usual in _SPELLINGS:
        expression = expression.replace(spelling, usual)
    return expression


def _describe(step: dict[str, Any]) -> str:
    pattern = (step.get("pattern") or {}).get("Regex")
    return f"{step['type']} {pattern}" if pattern else step["type"]
