"""A model's tokenizer, read from its own files: ids and character offsets, nothing added.

The file is tokenizer.json, or tokenizer.model where that is alone. Also its special and stop
tokens. Asks no network: core/hub.py says what a model's name stands for.
"""

from __future__ import annotations

import os
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import is_normalized

import msgspec

from core.data.encode import sentencepiece
from core.data.encode.spans import ByEncoding, ByLengths, ByOffsets, TokenSpans
from core.errors import AfinaError
from core.hub import model_folder
from core.model_files.json_file import read_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer as RawTokenizer

# The names that chat templates know, as in transformers' SPECIAL_TOKENS_ATTRIBUTES.
SPECIAL_NAMES = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)


class Frame(msgspec.Struct, frozen=True):
    """What a tokenizer's own post-processor puts around a text, or around the two of a pair."""

    before: list[int]
    between: list[int]
    after: list[int]


class Tokenizer:
    """Encodes text as it stands: special tokens are those written in it."""

    def __init__(
        self, raw: RawTokenizer, special: dict[str, str], stop_ids: frozenset[int]
    ) -> None:
        self._raw = raw
        self.special = special  # "bos_token" -> "<s>"; only those that the model has
        self.single = _single_frame(raw)  # what the tokenizer puts around plain text by itself
        self.pair = _pair_frame(raw)
        raw.no_truncation()  # many files on the hub cut at 512 or pad unasked
        raw.no_padding()
        raw.post_processor = None  # type: ignore[assignment]  # it trims offsets
        self.bos, self.eos, self.pad = (
            special.get(f"{name}_token") for name in ("bos", "eos", "pad")
        )
        self.bos_id, self.eos_id, self.pad_id = map(self._id, (self.bos, self.eos, self.pad))
        self.stop_ids = stop_ids | ({self.eos_id} if self.eos_id is not None else frozenset())
        added = raw.get_added_tokens_decoder()
        self.specials = {item.content: token for token, item in added.items() if item.special}

    @classmethod
    def load(cls, model: str | os.PathLike[str]) -> Tokenizer:
        """The tokenizer of a model folder, or of a hub id that lies in the local cache."""
        from tokenizers import Tokenizer as RawTokenizer

        folder = model_folder(model)
        path = tokenizer_file(folder)
        try:
            if path.name == sentencepiece.FILE:
                raw = RawTokenizer.from_buffer(msgspec.json.encode(tokenizer_values(folder)))
            else:
                raw = RawTokenizer.from_file(str(path))
        except AfinaError:
            raise
        except Exception as error:  # noqa: BLE001 - tokenizers raises bare Exception
            raise AfinaError(f'Can\'t read the tokenizer "{path}": {error}.') from error
        special = special_tokens(folder)
        generation, config = (
            read_json(folder, "generation_config.json"),
            read_json(folder, "config.json"),
        )
        stops = _ids(generation.get("eos_token_id")) | _ids(config.get("eos_token_id"))
        return cls(raw, special, frozenset(stops))

    @property
    def vocab_size(self) -> int:
        """Entries of the vocabulary, added tokens included."""
        return self._raw.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str) -> TokenSpans:
        """The tokens of a text; no special tokens are added."""
        return self.encode_many([text])[0]

    def encode_many(self, texts: list[str], fast: bool = False) -> list[TokenSpans]:
        """The tokens of several texts, on all cores; `fast` leaves the offsets to be counted."""
        if not fast or self._byte_lengths is None:
            found = self._raw.encode_batch(texts, add_special_tokens=False)
            if fast:
                return [ByEncoding(item) for item in found]
            return [ByOffsets(item.ids, item.offsets) for item in found]
        found = self._raw.encode_batch_fast(texts, add_special_tokens=False)
        return [self._count(text, item.ids) for text, item in zip(texts, found, strict=True)]

    def _count(self, text: str, ids: list[int]) -> TokenSpans:
        """The tokens with their places by the bytes that each has; proven by the sum of them."""
        lengths = self._byte_lengths
        assert lengths is not None
        ends = list(accumulate(map(lengths.__getitem__, ids)))
        if text.isascii():
            size = len(text)
        else:
            unchanged = not self._composes or is_normalized("NFC", text)
            size = len(text.encode()) if unchanged else -1
        if size == (ends[-1] if ends else 0):
            return ByLengths(ids, ends, text)
        return self.encode(text)

    @cached_property
    def _composes(self) -> bool:
        return self._raw.normalizer is not None

    @cached_property
    def _byte_lengths(self) -> list[int] | None:
        """Bytes of each token; None for a vocabulary whose tokens don't stand for bytes."""
        return _byte_lengths(self._raw)

    def decode(self, ids: list[int], skip_special: bool = False) -> str:
        return self._raw.decode(ids, skip_special_tokens=skip_special)

    def token_text(self, token_id: int) -> str:
        """What one token stands for; the replacement character where it is part of a character."""
        if text := self._raw.decode([token_id], skip_special_tokens=False):
            return text
        return self._raw.id_to_token(token_id) or ""

    def token_id(self, token: str) -> int | None:
        return self._raw.token_to_id(token)

    def _id(self, token: str | None) -> int | None:
        return None if token is None else self._raw.token_to_id(token)


def tokenizer_file(folder: Path) -> Path:
    """The file that says how text becomes tokens. Raises AfinaError where there is none."""
    for name in ("tokenizer.json", sentencepiece.FILE):
        if (folder / name).is_file():
            return folder / name
    raise AfinaError(f'There is no tokenizer.json in "{folder}".', sentencepiece.WAY_OUT)


def tokenizer_values(folder: Path) -> dict[str, Any]:
    """The contents of tokenizer.json; those that a tokenizer.model amounts to where it is alone."""
    path = tokenizer_file(folder)
    if path.name == sentencepiece.FILE:
        return sentencepiece.tokenizer_json(folder, read_json(folder, "tokenizer_config.json"))
    return read_json(folder, path.name)


def special_tokens(folder: Path) -> dict[str, str]:
    """The special tokens a model names: "bos_token" -> "<s>"."""
    config = {
        **read_json(folder, "special_tokens_map.json"),
        **read_json(folder, "tokenizer_config.json"),
    }
    found = {}
    for name in SPECIAL_NAMES:
        token = config.get(name)
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str):
            found[name] = token
    return found


def _ids(value: Any) -> set[int]:
    """eos_token_id as configurations write it: absent, a number, or a list of numbers."""
    values = value if isinstance(value, list) else [value]
    return {item for item in values if isinstance(item, int) and not isinstance(item, bool)}


def _single_frame(raw: RawTokenizer) -> Frame:
    plain = raw.encode("a", add_special_tokens=False).ids
    marked = raw.encode("a", add_special_tokens=True).ids
    at = _place(plain, marked)
    return Frame(marked[:at], [], marked[at + len(plain) :])


def _pair_frame(raw: RawTokenizer) -> Frame:
    first = raw.encode("a", add_special_tokens=False).ids
    second = raw.encode("b", add_special_tokens=False).ids
    marked = raw.encode("a", "b", add_special_tokens=True).ids
    at = _place(first, marked)
    middle = at + len(first)
    then = middle + _place(second, marked[middle:])
    return Frame(marked[:at], marked[middle:then], marked[then + len(second) :])


def _place(part: list[int], whole: list[int]) -> int:
    """Where the part begins; 0 where it is not in there."""
    starts = range(len(whole) - len(part) + 1)
    return next((at for at in starts if whole[at : at + len(part)] == part), 0)


def _byte_lengths(raw: RawTokenizer) -> list[int] | None:
    """Bytes by token id, if the vocabulary is byte-level: every character of an entry is a byte.

    Source: tokenizers 0.22, pre_tokenizers/byte_level.rs; a text is never changed before it but
    for NFC.
    """
    from tokenizers import normalizers, pre_tokenizers
    from tokenizers.models import BPE

    model, before = raw.model, raw.pre_tokenizer
    if not isinstance(model, BPE) or model.continuing_subword_prefix or model.end_of_word_suffix:
        return None
    if before is None or not (
        raw.normalizer is None or isinstance(raw.normalizer, normalizers.NFC)
    ):
        return None
    state = msgspec.json.decode(before.__getstate__())
    steps = state["pretokenizers"] if state["type"] == "Sequence" else [state]
    if steps[-1]["type"] != "ByteLevel" or any(step.get("add_prefix_space") for step in steps):
        return None
    vocabulary = raw.get_vocab(with_added_tokens=False)
    if not all(letter in vocabulary for letter in pre_tokenizers.ByteLevel.alphabet()):
        return None
    added = raw.get_added_tokens_decoder()
    lengths = [0] * (1 + max([*vocabulary.values(), *added]))
    for token, index in vocabulary.items():
        lengths[index] = len(token)
    for index, item in added.items():
        lengths[index] = len(item.content.encode())
    return lengths
