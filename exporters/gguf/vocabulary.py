"""A tokenizer.json in GGUF's words: tokens with their kinds, merges, and how text is split.

The kind of tokenizer is told by its structure, never by a name or a hash. Not here: the chat
template (template.py) and SentencePiece-like vocabularies, which are refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from core.data.encode.tokenizer import special_tokens
from core.errors import AfinaError
from exporters.safetensors_reader import read_json

# llama.cpp's token kinds (include/llama.h, llama_token_type)
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5

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
KNOWN = "Known: byte-level BPE that splits as GPT-2, Llama 3, Qwen 2 or SmolLM do."


class Vocabulary(msgspec.Struct, frozen=True):
    """What goes into the file under tokenizer.ggml.*"""

    pre: str  # llama.cpp's name of the way text is split
    tokens: list[str]  # in byte-level letters, by id; padded to the model's rows
    kinds: list[int]
    merges: list[str]  # "left right", by rank
    bos: int | None
    eos: int | None
    pad: int | None
    adds_bos: bool  # whether the tokenizer puts bos in front of a text by itself
    notes: tuple[str, ...] = ()

    @property
    def special(self) -> list[str]:
        """The tokens that are read as one wherever they stand."""
        marked = zip(self.tokens, self.kinds, strict=True)
        return [token for token, kind in marked if kind in (CONTROL, USER_DEFINED)]


def read_vocabulary(folder: Path, rows: int) -> Vocabulary:
    """The vocabulary of a model folder, padded to `rows` tokens, the rows of its embedding.

    Raises AfinaError, with what is known, for a tokenizer of another kind.
    """
    if not (folder / "tokenizer.json").is_file():
        raise AfinaError(
            f'There is no tokenizer.json in "{folder}".',
            "Save the tokenizer with transformers' AutoTokenizer, which writes one.",
        )
    tokenizer = read_json(folder / "tokenizer.json")
    model = tokenizer.get("model") or {}
    pre = split_name(tokenizer)
    tokens, kinds = _tokens(model["vocab"], tokenizer.get("added_tokens") or [], rows)
    ids = {token: place for place, token in enumerate(tokens)}
    special = special_tokens(folder)
    bos = ids.get(special.get("bos_token", ""))
    return Vocabulary(
        pre=pre,
        tokens=tokens,
        kinds=kinds,
        merges=[m if isinstance(m, str) else " ".join(m) for m in model.get("merges") or []],
        bos=bos,
        eos=ids.get(special.get("eos_token", "")),
        pad=ids.get(special.get("pad_token", "")),
        adds_bos=bos is not None and _starts_with(tokenizer.get("post_processor"), tokens[bos]),
        notes=_notes(tokenizer),
    )


def split_name(tokenizer: dict[str, Any]) -> str:
    """llama.cpp's name for the way a tokenizer.json splits text. Raises AfinaError for others."""
    model = tokenizer.get("model") or {}
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        kind = "a SentencePiece-like BPE" if model.get("byte_fallback") else model.get("type")
        raise AfinaError(f"Its tokenizer is {kind}.", KNOWN)
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
    return tokens, kinds


def _starts_with(processor: dict[str, Any] | None, token: str) -> bool:
    """Whether a post-processor puts this token in front of every text."""
    if processor is None:
        return False
    if processor.get("type") == "Sequence":
        return any(_starts_with(step, token) for step in processor.get("processors") or [])
    first = next(iter(processor.get("single") or []), {})
    return (first.get("SpecialToken") or {}).get("id") == token


def _notes(tokenizer: dict[str, Any]) -> tuple[str, ...]:
    notes = []
    if (tokenizer.get("normalizer") or {}).get("type") == "NFC":
        notes.append(
            "The tokenizer composes letters and accents (NFC) first, and llama.cpp doesn't: text "
            "with separate accents gives other tokens there."
        )
    loose = [t["content"] for t in tokenizer.get("added_tokens") or [] if t.get("lstrip")]
    if loose:
        notes.append(
            f'The token "{loose[0]}" swallows the space before it, and llama.cpp doesn\'t do that.'
        )
    return tuple(notes)
